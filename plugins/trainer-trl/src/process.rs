//! The processes of a training: started together, heard, and ended together.
//!
//! `accelerate launch` starts one process a card, and for more than one it gives each a session of
//! its own: a signal to the launcher's group does not reach them. So there are two ways to end them:
//! signals to the group, and the standard input, which all inherit and whose end the script sees.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tale_api::{Error, ErrorKind, Result};
use tale_training::{diverged, given_up};

use crate::{
    log::Log,
    protocol::{Message, Trouble},
};

/// How often it is looked whether somebody still waits.
const GLANCE: Duration = Duration::from_millis(50);
/// What processes get to end by themselves before they are killed.
const GRACE: Duration = Duration::from_secs(10);
/// A message is far shorter; a longer line is none.
const LONGEST_LINE: u64 = 1 << 20;

/// Runs `command` to its end and hands each message to `hear`.
///
/// # Errors
/// What a process says that it lacks; [`Internal`](ErrorKind::Internal), with the last lines of the
/// log: it ended without a result; [`Cancelled`](ErrorKind::Cancelled); or an error of `hear`. No
/// process of the training runs any more after an error.
pub(crate) fn run(
    command: &mut Command,
    log: &Path,
    cancelled: &AtomicBool,
    mut hear: impl FnMut(Message) -> Result<()>,
) -> Result<()> {
    let log = Arc::new(Mutex::new(Log::create(log)?));
    let mut processes = Processes::start(command)?;
    let messages = processes.listen(&log);
    let (mut trouble, mut is_done) = (None, false);
    let status = loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(given_up());
        }
        match messages.recv_timeout(GLANCE) {
            Ok(Message::Error { kind, message }) => {
                // Of several processes the first one knows; the others miss it.
                trouble.get_or_insert(Failure::Said(kind, message));
            }
            Ok(Message::Diverged { step, loss }) => {
                trouble = Some(Failure::Diverged(step, loss));
            }
            Ok(message) => {
                is_done |= matches!(message, Message::Done { .. });
                hear(message)?;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                // What was said before the end has been heard: the queue is empty.
                if let Some(status) = processes.ended() {
                    break status;
                }
                thread::sleep(GLANCE);
            }
        }
    };
    for message in messages.try_iter() {
        match message {
            Message::Error { kind, message } => {
                trouble.get_or_insert(Failure::Said(kind, message));
            }
            Message::Diverged { step, loss } => trouble = Some(Failure::Diverged(step, loss)),
            message => {
                is_done |= matches!(message, Message::Done { .. });
                hear(message)?;
            }
        }
    }
    match trouble {
        Some(failure) => Err(failure.into_error(&locked(&log))),
        None if status.success() && is_done => Ok(()),
        None => Err(ended_without_a_result(status, &locked(&log))),
    }
}

fn locked(log: &Mutex<Log>) -> std::sync::MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The launcher with everything it starts. When it is dropped, all of it ends.
struct Processes {
    launcher: Child,
    /// Its end tells every process that nobody waits.
    input: Option<ChildStdin>,
    has_ended: bool,
}

impl Processes {
    fn start(command: &mut Command) -> Result<Self> {
        let mut launcher = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that all of it can be ended and Ctrl-C is left to the host.
            .process_group(0)
            .spawn()
            .map_err(|e| {
                let program = command.get_program().display().to_string();
                Error::new(ErrorKind::Unavailable, format!("cannot start `{program}`"))
                    .caused_by(&e)
            })?;
        let input = launcher.stdin.take();
        Ok(Self {
            launcher,
            input,
            has_ended: false,
        })
    }

    /// Reads both outputs on threads of their own; gives the messages.
    fn listen(&mut self, log: &Arc<Mutex<Log>>) -> Receiver<Message> {
        // Bounded: a flood of messages waits in the pipe.
        let (sender, messages) = sync_channel(256);
        if let Some(output) = self.launcher.stdout.take() {
            let log = Arc::clone(log);
            thread::spawn(move || hear_messages(output, &sender, &log));
        }
        if let Some(output) = self.launcher.stderr.take() {
            let log = Arc::clone(log);
            thread::spawn(move || copy(output, &log));
        }
        messages
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.launcher.try_wait().ok().flatten();
        self.has_ended |= status.is_some();
        status
    }

    fn signal(&self, signal: Signal) {
        // Not after its end: the number may be another's by then.
        if !self.has_ended {
            let _ = kill_process_group(Pid::from_child(&self.launcher), signal);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        drop(self.input.take());
        if self.has_ended {
            return;
        }
        self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if self.ended().is_some() {
                return;
            }
            thread::sleep(GLANCE);
        }
        self.signal(Signal::KILL);
        let _ = self.launcher.wait();
    }
}

/// Hands on what is a message, and writes the rest to the log.
fn hear_messages(output: impl Read, messages: &SyncSender<Message>, log: &Mutex<Log>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match output
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match Message::parse(&line) {
            // Where nobody hears any more the pipe is read on, so that nobody who prints waits.
            Some(message) => drop(messages.send(message)),
            None => locked(log).add(&line),
        }
    }
}

fn copy(mut output: impl Read, log: &Mutex<Log>) {
    let mut bytes = [0; 8192];
    while let Ok(read @ 1..) = output.read(&mut bytes) {
        locked(log).add(&bytes[..read]);
    }
}

enum Failure {
    Said(Trouble, String),
    Diverged(u64, String),
}

impl Failure {
    fn into_error(self, log: &Log) -> Error {
        let (kind, message) = match self {
            Self::Diverged(step, loss) => {
                return diverged(step, loss.parse().unwrap_or(f64::NAN));
            }
            Self::Said(kind, message) => (kind, message),
        };
        let at = log.path().display().to_string();
        let (kind, hint) = match kind {
            Trouble::Memory => (
                ErrorKind::ResourceExhausted,
                "lower `micro_batch` or `max_length`, set `activation_checkpointing = true`, or share the model among cards with an `accelerate_config` of FSDP or DeepSpeed".to_owned(),
            ),
            Trouble::Disk => (
                ErrorKind::ResourceExhausted,
                "free some space and start again; the last checkpoint is kept".to_owned(),
            ),
            Trouble::Missing => (
                ErrorKind::Unavailable,
                format!("`{at}` shows what was being imported"),
            ),
            Trouble::Failed => (ErrorKind::Internal, format!("`{at}` has the whole story")),
        };
        Error::new(kind, format!("TRL: {message}")).hint(hint)
    }
}

fn ended_without_a_result(status: ExitStatus, log: &Log) -> Error {
    let lines = log.last_lines();
    let said = if lines.is_empty() {
        " and wrote nothing".to_owned()
    } else {
        format!("; its last lines:\n{lines}")
    };
    Error::new(
        ErrorKind::Internal,
        format!("the training ended without a result ({status}){said}"),
    )
    .hint(format!(
        "`{}` has all it wrote; the same command goes on from the last checkpoint",
        log.path().display()
    ))
}
