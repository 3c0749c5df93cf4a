//! The batch API: requests are gathered, sent as files, and answered within a day at half the price.
//!
//! Calls that are made at the same time become one batch, so the run's `concurrency` says how large
//! it can be. Every request has a digest, which is its `custom_id`. Before a batch is created it is
//! written down ([`state`]), so that a run that was killed finds its batches again: a request whose
//! digest is in one of them waits for that one and is not sent again, and an answer that has been
//! fetched stays on disk.

mod remote;
mod state;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tale_api::{Error, ErrorKind, Events, GenerateEvent, GenerateRequest, Result};
use tokio::{
    sync::{OnceCell, oneshot},
    time::{Instant, sleep},
};

use self::{
    remote::{Line, Remote, Status},
    state::{Record, State},
};
use crate::{client::Client, failure::Failure, options::BatchOptions};

/// A request that fails so many times in batches has failed.
const MOST_ROUNDS: u32 = 3;

/// How long nothing is sent to a full queue.
const FULL_QUEUE: Duration = Duration::from_secs(300);

/// A request by what it asks: the `custom_id` in batches.
pub(crate) type Digest = String;

/// The digest of a request. The seed is part of it even where the model takes none: the same question
/// asked twice on purpose differs in its seed only.
pub(crate) fn digest(body: &[u8], request: &GenerateRequest) -> Digest {
    let seed = request.seed.unwrap_or_default();
    let hash = Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(body)
        .finalize();
    hash[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// Gathers requests into batches and deals the answers out.
#[derive(Clone, Debug)]
pub(crate) struct Batcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    remote: Remote,
    settings: BatchOptions,
    gather: Duration,
    poll: Duration,
    dir: PathBuf,
    loaded: OnceCell<()>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    callers: HashMap<Digest, Vec<Caller>>,
    queue: Vec<(Digest, Bytes)>,
    queued: HashSet<Digest>,
    rounds: HashMap<Digest, u32>,
    last_added: Option<Instant>,
    last_look: Option<Instant>,
    /// The provider's queue is full until then, or until a batch ends.
    hold: Option<Instant>,
    is_working: bool,
}

#[derive(Debug)]
struct Caller {
    body: Bytes,
    events: Events<GenerateEvent>,
    answer: oneshot::Sender<Result<Value, Failure>>,
}

impl Batcher {
    pub(crate) fn new(
        client: Arc<Client>,
        model: String,
        settings: BatchOptions,
        dir: PathBuf,
    ) -> Self {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::from_secs(1));
        Self {
            shared: Arc::new(Shared {
                gather: seconds(settings.gather_s),
                poll: seconds(settings.poll_s),
                remote: Remote { client, model },
                settings,
                dir,
                loaded: OnceCell::new(),
                inner: Mutex::default(),
            }),
        }
    }

    /// The body of the answer to a request.
    pub(crate) async fn ask(
        &self,
        digest: Digest,
        body: Bytes,
        events: Events<GenerateEvent>,
    ) -> Result<Value, Failure> {
        let shared = &self.shared;
        shared.loaded.get_or_try_init(|| shared.load()).await?;
        let (answer, answered) = oneshot::channel();
        {
            let mut inner = shared.lock();
            if let Some(known) = inner.state.answer(&digest)? {
                return Ok(known);
            }
            let caller = Caller {
                body: body.clone(),
                events,
                answer,
            };
            inner
                .callers
                .entry(digest.clone())
                .or_default()
                .push(caller);
            inner.enqueue(digest, body);
            if !std::mem::replace(&mut inner.is_working, true) {
                tokio::spawn(Shared::work(Arc::clone(shared)));
            }
        }
        answered
            .await
            .unwrap_or_else(|_| Err(Failure::soon("the work on batches has ended")))
    }
}

impl Inner {
    /// Puts a request into the next batch, unless it is in one.
    fn enqueue(&mut self, digest: Digest, body: Bytes) {
        if self.state.is_pending(&digest) || !self.queued.insert(digest.clone()) {
            return;
        }
        self.queue.push((digest, body));
        self.last_added = Some(Instant::now());
    }

    /// Takes the requests of the next batch, if it is time for it.
    fn gathered(
        &mut self,
        gather: Duration,
        settings: &BatchOptions,
    ) -> Option<Vec<(Digest, Bytes)>> {
        let mut bytes = 0;
        let fits = self
            .queue
            .iter()
            .take(settings.max_requests)
            .take_while(|(_, body)| {
                bytes += body.len() + remote::LINE_FRAME;
                bytes <= settings.max_bytes
            })
            .count();
        if self.queue.is_empty() || self.hold.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        let is_full = fits < self.queue.len() || fits == settings.max_requests;
        let is_quiet = self.last_added.is_none_or(|last| last.elapsed() >= gather);
        if !is_full && !is_quiet {
            return None;
        }
        // A single request that is too large goes alone: the provider says what is wrong with it.
        let batch: Vec<_> = self.queue.drain(..fits.max(1)).collect();
        for (digest, _) in &batch {
            self.queued.remove(digest);
        }
        Some(batch)
    }

    /// Callers that have gone do not count.
    fn has_callers(&mut self) -> bool {
        self.callers.retain(|_, callers| {
            callers.retain(|c| !c.answer.is_closed());
            !callers.is_empty()
        });
        !self.callers.is_empty()
    }

    fn answer(&mut self, digest: &str, outcome: &Result<Value, Failure>) {
        for caller in self.callers.remove(digest).unwrap_or_default() {
            // Whoever has gone needs no answer.
            let _ = caller.answer.send(match outcome {
                Ok(body) => Ok(body.clone()),
                Err(f) => Err(Failure::new(f.error.clone(), f.again)),
            });
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self) -> Result<(), Failure> {
        let dir = self.dir.clone();
        let state = tokio::task::spawn_blocking(move || State::load(&dir))
            .await
            .map_err(|e| Failure::from(Error::new(ErrorKind::Internal, e.to_string())))??;
        if !state.records().is_empty() {
            tracing::info!(
                "{} batches of an earlier run are picked up again",
                state.records().len()
            );
        }
        self.lock().state = state;
        Ok(())
    }

    /// Works as long as somebody waits.
    async fn work(self: Arc<Self>) {
        let tick = (self.gather / 4)
            .min(self.poll)
            .clamp(Duration::from_millis(5), Duration::from_secs(1));
        loop {
            let batch = {
                let mut inner = self.lock();
                if !inner.has_callers() {
                    inner.is_working = false;
                    return;
                }
                inner.gathered(self.gather, &self.settings)
            };
            if let Some(batch) = batch {
                self.submit(batch).await;
                continue;
            }
            let records = {
                let mut inner = self.lock();
                let is_due = inner
                    .last_look
                    .is_none_or(|last| last.elapsed() >= self.poll);
                if is_due {
                    inner.last_look = Some(Instant::now());
                }
                if is_due {
                    inner.state.records()
                } else {
                    Vec::new()
                }
            };
            for record in records {
                self.look(record).await;
            }
            sleep(tick).await;
        }
    }

    /// Sends a batch; its requests fail together if that fails for good.
    async fn submit(&self, batch: Vec<(Digest, Bytes)>) {
        let digests: Vec<Digest> = batch.iter().map(|(digest, _)| digest.clone()).collect();
        let mut record = Record::new(digests.clone());
        let created = async {
            record.file = Some(self.remote.upload(&batch).await?);
            // Written before the batch exists: whatever happens next, it can be found by its name.
            self.lock().state.put(record.clone())?;
            self.create(record.clone()).await
        };
        match created.await {
            Ok(()) => self.tell(
                &digests,
                &format!("{} requests are in a batch", digests.len()),
            ),
            Err(failure) => {
                let _ = self.lock().state.remove(&record);
                self.fail(&digests, &failure);
            }
        }
    }

    async fn create(&self, mut record: Record) -> Result<(), Failure> {
        let id = self.remote.create(&record).await?;
        tracing::info!(
            batch = id,
            requests = record.digests.len(),
            "a batch is under way"
        );
        record.batch = Some(id);
        self.lock().state.put(record)?;
        Ok(())
    }

    fn fail(&self, digests: &[Digest], failure: &Failure) {
        let mut inner = self.lock();
        for digest in digests {
            inner.answer(
                digest,
                &Err(Failure::new(failure.error.clone(), failure.again)),
            );
        }
    }

    /// Tells those who watch.
    fn tell(&self, digests: &[Digest], text: &str) {
        // One of them: each belongs to another sample, and people read the line once.
        let events = {
            let inner = self.lock();
            let caller = digests.iter().find_map(|d| inner.callers.get(d)?.first());
            caller.map(|c| c.events.clone())
        };
        if let Some(events) = events.filter(Events::is_wanted) {
            events.send(GenerateEvent::Status {
                text: text.to_owned(),
            });
        }
    }

    /// Looks at a batch and deals out what it has.
    async fn look(&self, record: Record) {
        let Some(id) = record.batch.clone() else {
            // Killed between the file and the batch.
            let digests = record.digests.clone();
            let forget = record.clone();
            if let Err(failure) = self.create(record).await {
                let _ = self.lock().state.remove(&forget);
                self.again(&digests, &failure);
            }
            return;
        };
        let batch = match self.remote.batch(&id).await {
            Ok(batch) => batch,
            Err(failure) if failure.is_lasting() => {
                let _ = self.lock().state.remove(&record);
                return self.again(&record.digests, &failure);
            }
            // It is looked at again anyway.
            Err(failure) => return tracing::warn!(batch = id, "{}", failure.error.message),
        };
        let (done, total) = (batch.completed + batch.failed, batch.total);
        match batch.status {
            Status::UnderWay => {
                self.tell(
                    &record.digests,
                    &format!("batch {id}: {done} of {total} done"),
                );
            }
            Status::Full => {
                tracing::info!(batch = id, "the provider's queue is full; sent again later");
                let mut inner = self.lock();
                let _ = inner.state.remove(&record);
                inner.hold = Some(Instant::now() + FULL_QUEUE);
                for digest in record.digests {
                    let body = inner
                        .callers
                        .get(&digest)
                        .and_then(|c| Some(c.first()?.body.clone()));
                    if let Some(body) = body {
                        inner.enqueue(digest, body);
                    }
                }
            }
            Status::Failed(why) => {
                let _ = self.lock().state.remove(&record);
                let error = Error::new(
                    ErrorKind::InvalidInput,
                    format!("batch {id} is refused: {why}"),
                );
                self.fail(&record.digests, &Failure::from(error));
            }
            Status::Ended => {
                let mut lines = Vec::new();
                for file in [&batch.output, &batch.errors].into_iter().flatten() {
                    match self.remote.lines(file).await {
                        Ok(more) => lines.extend(more),
                        Err(failure) => {
                            return tracing::warn!(batch = id, "{}", failure.error.message);
                        }
                    }
                }
                tracing::info!(
                    batch = id,
                    "{} of {total} requests are answered",
                    batch.completed
                );
                self.deal_out(&record, lines);
            }
        }
    }

    fn deal_out(&self, record: &Record, lines: Vec<Line>) {
        let mut bodies = Vec::new();
        let mut failures = HashMap::new();
        for line in lines {
            match line.outcome {
                Ok(body) => bodies.push((line.digest, body)),
                Err(failure) => drop(failures.insert(line.digest, failure)),
            }
        }
        let kept = self.lock().state.end(record, &bodies);
        if let Err(error) = kept {
            // The answers are here, and whoever waits gets them; only a later run must fetch them anew.
            tracing::warn!("{}", error.message);
        }
        let answered: HashSet<Digest> = bodies.iter().map(|(digest, _)| digest.clone()).collect();
        let mut inner = self.lock();
        // Its place in the provider's queue is free.
        inner.hold = None;
        for (digest, body) in bodies {
            inner.answer(&digest, &Ok(body));
        }
        drop(inner);
        for digest in record.digests.iter().filter(|d| !answered.contains(*d)) {
            let failure = failures
                .remove(digest)
                .unwrap_or_else(|| Failure::soon("the batch has no answer to this request"));
            self.again(std::slice::from_ref(digest), &failure);
        }
    }

    /// Puts failed requests into the next batch, as long as that may help.
    fn again(&self, digests: &[Digest], failure: &Failure) {
        let mut inner = self.lock();
        for digest in digests {
            let rounds = inner.rounds.entry(digest.clone()).or_default();
            *rounds += 1;
            let is_hopeless = *rounds >= MOST_ROUNDS
                || failure.is_lasting() && failure.error.kind != ErrorKind::NotFound;
            let body = inner
                .callers
                .get(digest)
                .and_then(|callers| Some(callers.first()?.body.clone()));
            match body {
                Some(body) if !is_hopeless => inner.enqueue(digest.clone(), body),
                // Nobody waits: it is asked again when somebody does.
                _ => inner.answer(
                    digest,
                    &Err(Failure::new(failure.error.clone(), failure.again)),
                ),
            }
        }
    }
}
