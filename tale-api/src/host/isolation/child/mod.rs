//! The child: loads one plugin and passes on, frame by frame, what the two tables say.
//!
//! It reads no message. What the host says is passed to the plugin's table, what the plugin says to
//! the host becomes a frame; so a plugin cannot tell where it runs, and the host judges its answers
//! as it does in its own process.

mod relay;
mod table;

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
    thread,
    time::Duration,
};

use self::{relay::Relay, table::TABLE};
use super::{
    Greeting, Welcome,
    frame::{self, Frame},
};
use crate::{
    abi::{Bytes, Start},
    host::{LoadError, LoadPolicy, load},
    peer::{Functions, caught},
};

/// Serves the host at the other end of stdin and stdout, with the plugin that it names. Does not
/// return before the host is gone.
///
/// The program that is started as a child does this and nothing else; see
/// [`Isolation`](super::Isolation).
///
/// # Errors
/// stdin and stdout are no pipe to a host that speaks this protocol.
pub fn serve() -> io::Result<()> {
    die_with_the_parent();
    let (input, output) = take_stdio()?;
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut buffer = Vec::new();
    let Some(Frame::Hello(greeting)) = frame::read(&mut input, &mut buffer)? else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "nobody speaks at the other end",
        ));
    };
    let greeting: Greeting = serde_json::from_slice(greeting)?;
    let relay = Relay::open(output);
    let loaded = load_plugin(&greeting);
    let welcome = match &loaded {
        Ok((_, sha256)) => Welcome {
            sha256: Some(sha256.clone()),
            error: None,
        },
        Err(e) => Welcome {
            sha256: None,
            error: Some(words(e)),
        },
    };
    relay.send(&Frame::Hello(&serde_json::to_vec(&welcome)?));
    let Ok((plugin, _)) = loaded else {
        return Ok(());
    };
    relay.serve(plugin, input);
    // One of many that were too many just now. This one's end would be the process's.
    loop {
        thread::park();
    }
}

/// An error with its causes, in one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn load_plugin(greeting: &Greeting) -> Result<(Functions, String), LoadError> {
    let policy = LoadPolicy {
        sha256: greeting.sha256.clone(),
        allow_writable_by_others: greeting.allow_writable_by_others,
        start_within: Duration::from_secs_f64(greeting.start_within_s),
        ..LoadPolicy::default()
    };
    let info = greeting.host_info.to_string();
    let begin = move |path: &Path, _name: &str, start: Start| {
        let failed = |reason: String| LoadError::StartFailed {
            path: path.to_owned(),
            reason,
        };
        // SAFETY: the function of a checked descriptor; our table is static and `info` outlives the
        // call.
        let table = caught(|| unsafe { start(&raw const TABLE, Bytes::lend(info.as_bytes())) })
            .map_err(failed)?;
        // SAFETY: null, or a table that lives as long as the process (the protocol).
        unsafe { Functions::read(table) }.map_err(|fault| failed(format!("it gave {fault}")))
    };
    let (plugin, inspected) = load::load_with(&greeting.path, &policy, begin)?;
    Ok((plugin, inspected.sha256))
}

/// Takes the two pipes away from the plugin, whose own `printf` would be no frame: its stdin is
/// empty from here on, and its stdout is stderr.
#[cfg(unix)]
fn take_stdio() -> io::Result<(File, File)> {
    use rustix::{
        io::dup,
        stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout},
    };
    let (input, output) = (File::from(dup(stdin())?), File::from(dup(stdout())?));
    for pipe in [&input, &output] {
        rustix::io::fcntl_setfd(pipe, rustix::io::FdFlags::CLOEXEC)?;
    }
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(stderr())?;
    Ok((input, output))
}

#[cfg(not(unix))]
fn take_stdio() -> io::Result<(File, File)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system ends this process when the host's thread that started it ends, however it ends. The
/// end of the pipe says the same, but is not seen while the plugin holds every thread.
#[cfg(target_os = "linux")]
fn die_with_the_parent() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_parent() {}
