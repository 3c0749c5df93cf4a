//! One request to stop, for all stages.

use std::future::Future;

use tokio::sync::watch;

/// Whether somebody asked the run to stop; heard by every stage, also one that begins later.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops once `request` is ready. It is waited for from now on.
    #[must_use]
    pub fn on(request: impl Future<Output = ()> + Send + 'static) -> Self {
        let (tell, heard) = watch::channel(false);
        tokio::spawn(async move {
            request.await;
            // Nobody may be left to hear it.
            let _ = tell.send(true);
            tell.closed().await;
        });
        Self(heard)
    }

    /// Ready once the run is to stop.
    pub async fn wait(&self) {
        let mut heard = self.0.clone();
        if heard.wait_for(|asked| *asked).await.is_err() {
            // The task that listens has ended without a request.
            std::future::pending::<()>().await;
        }
    }
}
