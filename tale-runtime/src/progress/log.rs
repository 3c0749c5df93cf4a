//! Log lines beside a table that redraws itself: the table steps aside for each.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use indicatif::MultiProgress;

/// The table on the terminal now, if there is one. There is one terminal, hence one of these.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Makes `display` step aside for log lines from now on, or nobody.
pub(super) fn show(display: Option<MultiProgress>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = display;
}

/// Stderr for log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        // Cloned, so that the lock is not held while a terminal is slow.
        let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let write = || io::stderr().lock().write_all(line);
        match shown {
            Some(display) => display.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{ProgressBar, ProgressDrawTarget};

    #[test]
    fn a_line_is_written_once_with_and_without_a_table() {
        let line = b"a log line\n";
        assert_eq!(LogWriter.write(line).unwrap(), line.len());
        let display = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let bar = display.add(ProgressBar::new(4));
        show(Some(display.clone()));
        bar.inc(1);
        assert_eq!(LogWriter.write(line).unwrap(), line.len());
        show(None);
        LogWriter.flush().unwrap();
    }
}
