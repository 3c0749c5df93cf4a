//! A child process as the host holds it.

use std::{
    collections::HashSet,
    fmt::Display,
    io::{BufReader, Write as _},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Greeting, Isolation, frame::Frame, queue::Queue};

/// How long the plugin's own `release` of an object is waited for.
const RELEASE_PATIENCE: Duration = Duration::from_secs(60);

/// A child that is alive, as far as is known.
pub(super) struct Running {
    /// Which of the children it is.
    pub(super) generation: u64,
    pub(super) queue: Queue,
    process: Mutex<Child>,
    /// Objects whose release is under way.
    releasing: Mutex<HashSet<u64>>,
    released: Condvar,
    pinged: AtomicU64,
    ponged: AtomicU64,
    is_over: AtomicBool,
}

impl Running {
    /// Starts the program and greets it; says otherwise what failed. What the child says is read
    /// from the stream.
    pub(super) fn start(
        generation: u64,
        isolation: &Isolation,
        greeting: &Greeting,
    ) -> Result<(Arc<Self>, BufReader<ChildStdout>), String> {
        let failed = |e: &dyn Display| format!("`{}`: {e}", isolation.program.display());
        let mut command = Command::new(&isolation.program);
        command
            .args(&isolation.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Ctrl-C in a terminal is the host's to handle.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn().map_err(|e| failed(&e))?;
        let (Some(mut output), Some(input)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(failed(&"no pipes"));
        };
        let running = Arc::new(Self {
            generation,
            queue: Queue::default(),
            process: Mutex::new(process),
            releasing: Mutex::default(),
            released: Condvar::new(),
            pinged: AtomicU64::new(0),
            ponged: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let greeting = serde_json::to_vec(greeting).map_err(|e| failed(&e))?;
        running.send(&Frame::Hello(&greeting));
        let writing = Arc::clone(&running);
        thread::Builder::new()
            .name("tale-isolated-out".to_owned())
            .spawn(move || {
                while let Some(frame) = writing.queue.pop() {
                    if output.write_all(&frame).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| {
                running.kill();
                failed(&e)
            })?;
        Ok((running, BufReader::with_capacity(64 << 10, input)))
    }

    pub(super) fn send(&self, frame: &Frame<'_>) {
        self.queue.push(frame.encode());
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number in the system.
    pub(super) fn id(&self) -> u32 {
        self.process().id()
    }

    pub(super) fn kill(&self) {
        // It may have ended by itself.
        let _ = self.process().kill();
    }

    /// Waits for the process to end, and says how it did.
    pub(super) fn wait(&self) -> String {
        let mut process = self.process();
        // The pipe is closed: it is at its end, or about to be.
        let mut tries = 0;
        loop {
            match process.try_wait() {
                Ok(Some(status)) => return ending(status),
                Ok(None) if tries < 200 => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(tries.min(10)));
                }
                Ok(None) => {
                    // It closed the pipe and lives on: of no use to anybody.
                    let _ = process.kill();
                    return process.wait().map_or_else(
                        |e| format!("cannot be waited for: {e}"),
                        |_| "closed its pipe, and was killed".to_owned(),
                    );
                }
                Err(e) => return format!("cannot be waited for: {e}"),
            }
        }
    }

    /// Nothing more is sent to it, and it is known to have ended.
    pub(super) fn bury(&self) {
        self.queue.close();
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn releasing(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.releasing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the child release `object`, and waits until it has where `is_waiting`.
    pub(super) fn release(&self, object: u64, is_waiting: bool) {
        let mut releasing = self.releasing();
        releasing.insert(object);
        self.send(&Frame::Release { object });
        if is_waiting {
            let is_open = |set: &mut HashSet<u64>| set.contains(&object) && !self.is_over();
            // A destructor that takes longer is not waited for by anybody.
            let _ = self
                .released
                .wait_timeout_while(releasing, RELEASE_PATIENCE, is_open);
        }
    }

    /// The child has released `object`.
    pub(super) fn note_released(&self, object: u64) {
        self.releasing().remove(&object);
        self.released.notify_all();
    }

    /// Nobody need wait any more: a dead child holds nothing.
    pub(super) fn note_all_released(&self) {
        self.releasing().clear();
        self.released.notify_all();
    }

    /// Asks whether it is well; the number is that of the question.
    pub(super) fn ping(&self) -> u64 {
        let n = self.pinged.fetch_add(1, Ordering::SeqCst) + 1;
        self.send(&Frame::Ping(n));
        n
    }

    /// It says that it was well at question `n`.
    pub(super) fn note_pong(&self, n: u64) {
        self.ponged.fetch_max(n, Ordering::SeqCst);
    }

    /// Whether it has answered question `n`, or a later one.
    pub(super) fn has_answered(&self, n: u64) -> bool {
        self.ponged.load(Ordering::SeqCst) >= n
    }
}

/// How a process ended, in words that go on "its process …".
fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            2 => " (SIGINT)",
            4 => " (SIGILL)",
            6 => " (SIGABRT)",
            8 => " (SIGFPE)",
            9 => " (SIGKILL)",
            11 => " (SIGSEGV)",
            13 => " (SIGPIPE)",
            15 => " (SIGTERM)",
            _ => "",
        };
        return format!("was ended by signal {signal}{name}");
    }
    match status.code() {
        Some(code) => format!("ended with code {code}"),
        None => "ended".to_owned(),
    }
}
