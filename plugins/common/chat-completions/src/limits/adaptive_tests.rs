//! The bound against servers of known strength, in simulated time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;

/// A server that bears `strength` requests at a time and refuses the others; answers in 100 ms.
async fn ask(
    adaptive: &Adaptive,
    under_way: &AtomicUsize,
    strength: &AtomicUsize,
    refused: &AtomicUsize,
) {
    loop {
        let permit = adaptive.enter().await;
        let now = under_way.fetch_add(1, Ordering::Relaxed) + 1;
        if now > strength.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1)).await;
            under_way.fetch_sub(1, Ordering::Relaxed);
            refused.fetch_add(1, Ordering::Relaxed);
            permit.refused();
            drop(permit);
            sleep(Duration::from_millis(50)).await;
            continue;
        }
        sleep(Duration::from_millis(100)).await;
        under_way.fetch_sub(1, Ordering::Relaxed);
        permit.answered();
        return;
    }
}

#[tokio::test(start_paused = true)]
async fn a_weak_server_is_found_out_and_kept_busy() {
    let adaptive = Adaptive::new(Some(200), false);
    let [under_way, strength, refused] = [0, 20, 0].map(AtomicUsize::new);
    let start = Instant::now();
    let asks = (0..2000).map(|_| ask(&adaptive, &under_way, &strength, &refused));
    join_all(asks).await;
    let took = start.elapsed().as_secs_f64();
    // 2,000 at 20 a time and 100 ms each are 10 s.
    assert!(took < 16.0, "{took} s");
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused < 800, "{refused} refusals");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_recovers_is_used_again() {
    let adaptive = Adaptive::new(Some(100), false);
    let [under_way, strength, refused] = [0, 5, 0].map(AtomicUsize::new);
    let some = |n| join_all((0..n).map(|_| ask(&adaptive, &under_way, &strength, &refused)));
    some(300).await;
    let low = adaptive.limit();
    assert!(low < 20.0, "{low}");
    strength.store(1000, Ordering::Relaxed);
    some(12_000).await;
    let high = adaptive.limit();
    assert!(high > 60.0, "{high}");
}

#[tokio::test(start_paused = true)]
async fn a_strong_server_gets_everything_at_once() {
    let adaptive = Adaptive::new(None, false);
    let [under_way, strength, refused] = [0, 100_000, 0].map(AtomicUsize::new);
    let start = Instant::now();
    join_all((0..1000).map(|_| ask(&adaptive, &under_way, &strength, &refused))).await;
    assert!(start.elapsed() < Duration::from_millis(110));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_leaves_no_place_taken() {
    let adaptive = Adaptive::new(Some(1), false);
    let first = adaptive.enter().await;
    let waiting = tokio::time::timeout(Duration::from_millis(5), adaptive.enter()).await;
    assert!(waiting.is_err());
    drop(first);
    let again = tokio::time::timeout(Duration::from_millis(5), adaptive.enter()).await;
    assert!(again.is_ok());
}
