//! The server as a test holds it, and the connections that it accepts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use tokio::{net::TcpListener, sync::oneshot, time::sleep};

use crate::{
    Config, Served,
    service::Service,
    tls::{Tls, tls},
};

/// A running server; it stops when this is dropped.
pub struct Server {
    address: SocketAddr,
    authority_pem: Option<String>,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a server in threads of its own.
    ///
    /// # Panics
    /// If it cannot: a test has nothing better to do then.
    #[must_use]
    pub fn start(config: Config) -> Self {
        Self::try_start(config).expect("the test server starts")
    }

    /// Starts a server in threads of its own.
    ///
    /// # Errors
    /// A port that is taken, a file that cannot be read or written.
    pub fn try_start(config: Config) -> anyhow::Result<Self> {
        let tls = config.tls.map(tls).transpose()?;
        let service = Arc::new(Service::new(config)?);
        let authority_pem = tls.as_ref().map(|tls| tls.authority_pem.clone());
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::sync_channel(1);
        let serving = Arc::clone(&service);
        let thread = thread::spawn(move || serve(&serving, tls, &tell, stopped));
        let address = told.recv()??;
        Ok(Self {
            address,
            authority_pem,
            service,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What to put into `base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.authority_pem.is_some() {
            "https"
        } else {
            "http"
        };
        let host = if self.authority_pem.is_some() {
            "localhost"
        } else {
            "127.0.0.1"
        };
        format!("{scheme}://{host}:{}/v1", self.address.port())
    }

    /// The authority behind the certificate, as PEM, where TLS is spoken.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.authority_pem.as_deref()
    }

    /// Every request for a completion so far.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.service.log.all()
    }

    /// Connections that have been opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.service.connections.load(Ordering::Relaxed)
    }

    /// Answers given so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.service.answered.load(Ordering::Relaxed)
    }

    /// Blocks until the process is ended.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    service: &Arc<Service>,
    tls: Option<Tls>,
    tell: &mpsc::SyncSender<anyhow::Result<SocketAddr>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(service.config.threads.max(1))
        .thread_name("chat-server")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return drop(tell.send(Err(e.into()))),
    };
    runtime.block_on(async {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, service.config.port)).await {
            Ok(listener) => listener,
            Err(e) => return drop(tell.send(Err(e.into()))),
        };
        let _ = tell.send(listener.local_addr().map_err(Into::into));
        tokio::select! {
            () = accept(service, listener, tls) => {}
            // A dropped sender stops as well.
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn accept(service: &Arc<Service>, listener: TcpListener, tls: Option<Tls>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        service.connections.fetch_add(1, Ordering::Relaxed);
        let service = Arc::clone(service);
        let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => service.connection(stream).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        service.connection(stream).await;
                    }
                }
            }
        });
    }
}
