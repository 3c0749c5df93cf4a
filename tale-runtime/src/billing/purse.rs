//! What a run has spent and may spend.
//!
//! Before a call starts it reserves the most it can cost; when it has ended and is in the journal,
//! the reservation is exchanged for what it did cost. So the sum is never passed, however many
//! calls are under way, as long as no call costs more than its bound. A call that does not fit
//! waits: most calls cost far less than they reserve, and what they give back may be enough. Only
//! where nothing is under way any more, and it still does not fit, is the cap reached; then no
//! further call begins.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a run has spent and may spend, in US dollars.
#[derive(Debug, Default)]
pub struct Purse {
    cap: Option<f64>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    spent: Option<f64>,
    reserved: f64,
    /// Reservations that are held.
    under_way: u64,
    /// Of calls that failed in a way that the provider may have billed.
    doubtful: f64,
    closed: Option<CapReached>,
}

/// How much is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spending {
    /// Spent so far; absent where no call had a price.
    pub spent: Option<f64>,
    /// The most that may be spent.
    pub cap: Option<f64>,
}

/// A call that the cap does not allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CapReached {
    /// What may be spent.
    pub cap: f64,
    /// What was spent.
    pub spent: f64,
    /// What calls may have cost that failed.
    pub doubtful: f64,
    /// The most that the next call could cost.
    pub next: f64,
}

impl std::fmt::Display for CapReached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cap,
            spent,
            doubtful,
            next,
        } = self;
        write!(
            f,
            "the next call may cost up to ${next:.6}; ${spent:.6} of at most ${cap} is spent"
        )?;
        if *doubtful > 0.0 {
            write!(
                f,
                ", and up to ${doubtful:.6} may have gone to calls that failed"
            )?;
        }
        Ok(())
    }
}

impl Purse {
    /// A purse from which `spent` is gone already, and at most `cap` may go.
    #[must_use]
    pub fn new(cap: Option<f64>, spent: Option<f64>) -> Self {
        let state = State {
            spent,
            ..State::default()
        };
        Self {
            cap,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Whether there is a cap, so that every call needs a price.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.cap.is_some()
    }

    /// How much is gone.
    #[must_use]
    pub fn spending(&self) -> Spending {
        Spending {
            spent: self.state().spent,
            cap: self.cap,
        }
    }

    /// Why no further call begins, once that is so.
    #[must_use]
    pub fn closed(&self) -> Option<CapReached> {
        self.state().closed
    }

    /// Takes at most `usd` out for a call. Waits while it does not fit and others may give back.
    ///
    /// # Errors
    /// [`CapReached`], and from then on for every call. No call is under way at that moment.
    pub async fn reserve(&self, usd: f64) -> Result<Reservation<'_>, CapReached> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enlisted before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            if let Some(answer) = self.try_reserve(usd) {
                return answer;
            }
            changed.await;
        }
    }

    /// None: not now, but perhaps later.
    fn try_reserve(&self, usd: f64) -> Option<Result<Reservation<'_>, CapReached>> {
        let mut state = self.state();
        if let Some(cap) = self.cap {
            let gone = state.spent.unwrap_or(0.0) + state.doubtful;
            let fits = state.closed.is_none() && gone + state.reserved + usd <= cap;
            if !fits {
                if state.under_way > 0 {
                    return None;
                }
                let reached = state.closed.unwrap_or(CapReached {
                    cap,
                    spent: state.spent.unwrap_or(0.0),
                    doubtful: state.doubtful,
                    next: usd,
                });
                state.closed = Some(reached);
                drop(state);
                self.changed.notify_waiters();
                return Some(Err(reached));
            }
        }
        state.reserved += usd;
        state.under_way += 1;
        Some(Ok(Reservation { purse: self, usd }))
    }

    fn give_back(&self, usd: f64, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.under_way -= 1;
        // Sums of floating-point numbers leave crumbs; nothing under way is nothing reserved.
        state.reserved = if state.under_way == 0 {
            0.0
        } else {
            (state.reserved - usd).max(0.0)
        };
        change(&mut state);
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Money set aside for one call. Dropped, it counts as possibly spent: a call that was cancelled
/// under way may be billed.
#[derive(Debug)]
#[must_use]
pub struct Reservation<'a> {
    purse: &'a Purse,
    usd: f64,
}

impl Reservation<'_> {
    /// The call has ended and cost this much; none: nobody knows, so what was set aside is gone.
    pub fn settle(self, cost_usd: Option<f64>) {
        let usd = self.usd;
        self.purse.give_back(usd, |state| match cost_usd {
            Some(cost) => *state.spent.get_or_insert(0.0) += cost,
            None => state.doubtful += usd,
        });
        std::mem::forget(self);
    }

    /// The call was refused and cost nothing.
    pub fn release(self) {
        self.purse.give_back(self.usd, |_| {});
        std::mem::forget(self);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let usd = self.usd;
        self.purse.give_back(usd, |state| state.doubtful += usd);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        time::Duration,
    };

    use proptest::prelude::*;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }

    #[derive(Clone, Debug)]
    enum End {
        /// A share of what was reserved.
        Costs(f64),
        Unknown,
        Refused,
        Cancelled,
    }

    fn end() -> impl Strategy<Value = End> {
        prop_oneof![
            6 => (0.0..=1.0).prop_map(End::Costs),
            1 => Just(End::Unknown),
            1 => Just(End::Refused),
            1 => Just(End::Cancelled),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The worst case counts: whatever failed or was cancelled is taken as billed in full.
        #[test]
        fn the_cap_is_never_passed_by_any_calls_at_any_prices(
            cap in 0.0..2.0_f64,
            before in 0.0..1.0_f64,
            calls in prop::collection::vec((0.0..0.3_f64, end()), 1..60),
        ) {
            let runtime = runtime();
            let (worst, spent) = runtime.block_on(async {
                let purse = Arc::new(Purse::new(Some(cap), Some(before)));
                // What the provider bills at the most, in billionths.
                let billed = Arc::new(AtomicU64::new(0));
                let mut work = tokio::task::JoinSet::new();
                for (usd, end) in calls {
                    let (purse, billed) = (Arc::clone(&purse), Arc::clone(&billed));
                    work.spawn(async move {
                        let Ok(reserved) = purse.reserve(usd).await else {
                            return;
                        };
                        tokio::task::yield_now().await;
                        let bill = |usd: f64| {
                            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss,
                                reason = "a few dollars in billionths")]
                            billed.fetch_add((usd * 1e9) as u64, Relaxed);
                        };
                        match end {
                            End::Costs(share) => {
                                bill(usd * share);
                                reserved.settle(Some(usd * share));
                            }
                            End::Unknown => {
                                bill(usd);
                                reserved.settle(None);
                            }
                            End::Refused => reserved.release(),
                            End::Cancelled => {
                                bill(usd);
                                drop(reserved);
                            }
                        }
                    });
                }
                let all = async { while work.join_next().await.is_some() {} };
                tokio::time::timeout(Duration::from_secs(20), all).await.expect("nobody waits for ever");
                #[expect(clippy::cast_precision_loss, reason = "a few dollars in billionths")]
                let billed = billed.load(Relaxed) as f64 / 1e9;
                (before + billed, purse.spending().spent.unwrap())
            });
            prop_assert!(worst <= cap.max(before) + 1e-9, "{worst} of {cap}");
            prop_assert!(spent <= worst + 1e-6);
        }
    }

    #[tokio::test]
    async fn a_call_that_does_not_fit_waits_for_what_others_give_back() {
        let purse = Arc::new(Purse::new(Some(1.0), None));
        let first = purse.reserve(0.9).await.unwrap();
        let waiting = tokio::spawn({
            let purse = Arc::clone(&purse);
            async move { purse.reserve(0.9).await.map(|r| r.settle(Some(0.2))) }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        first.settle(Some(0.1));
        waiting.await.unwrap().unwrap();
        let spent = purse.spending().spent.unwrap();
        assert!((spent - 0.3).abs() < 1e-12);
        let reached = purse.reserve(0.9).await.unwrap_err();
        assert!((reached.spent - 0.3).abs() < 1e-12);
        // Closed is closed, also for a smaller call: the run is ending.
        assert!(purse.reserve(0.0).await.is_err());
    }

    #[tokio::test]
    async fn without_a_cap_everything_is_allowed_and_counted() {
        let purse = Purse::new(None, None);
        assert_eq!(purse.spending().spent, None);
        purse.reserve(1e9).await.unwrap().settle(Some(2.5));
        assert_eq!(purse.spending().spent, Some(2.5));
    }

    #[tokio::test]
    async fn what_an_earlier_session_spent_counts() {
        let purse = Purse::new(Some(1.0), Some(0.95));
        let reached = purse.reserve(0.1).await.unwrap_err();
        assert_eq!(
            reached.to_string(),
            "the next call may cost up to $0.100000; $0.950000 of at most $1 is spent"
        );
    }
}
