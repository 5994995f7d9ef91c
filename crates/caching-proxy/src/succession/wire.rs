//! Lines of JSON with open files beside them, over a Unix socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde_json::Value;

/// Files beside one line; the system takes 253 at once.
pub(super) const FILES: usize = 128;
/// No line is longer.
const LONGEST: usize = 32 << 20;

/// One end.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    unread: Vec<u8>,
    files: VecDeque<OwnedFd>,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, unread: Vec::new(), files: VecDeque::new() }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a line and up to [`FILES`] files.
    pub(super) fn send(&self, line: &Value, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let line = format!("{line}\n");
        let mut sent = 0;
        if !files.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !beside.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let line = [IoSlice::new(line.as_bytes())];
            sent = retry_on_intr(|| sendmsg(&self.stream, &line, &mut beside, SendFlags::empty()))?;
        }
        (&self.stream).write_all(line.as_bytes().get(sent..).unwrap_or_default())
    }

    /// The next line; `None` if the other end is closed. Its files can be taken then.
    pub(super) fn receive(&mut self, patience: Duration) -> io::Result<Option<Value>> {
        self.stream.set_read_timeout(Some(patience))?;
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(io::Error::other);
            }
            if self.unread.len() > LONGEST {
                return Err(io::Error::other("a line without an end"));
            }
            if self.read()? == 0 {
                return Ok(None);
            }
        }
    }

    /// The files that came beside the lines so far, in their order.
    pub(super) fn take(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let missing = || io::Error::other("files are missing");
        (0..count).map(|_| self.files.pop_front().ok_or_else(missing)).collect()
    }

    /// Waits until the other end is closed.
    pub(super) fn wait_for_end(&mut self, patience: Duration) {
        let _ = self.stream.set_read_timeout(Some(patience));
        let is_signal = |error: io::Error| error.kind() == io::ErrorKind::Interrupted;
        while self.stream.read(&mut [0; 512]).map_or_else(is_signal, |read| read > 0) {}
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut chunk)];
        // A process that was stopped for a while, or got a signal, hears on.
        let read = retry_on_intr(|| recvmsg(&self.stream, &mut into, &mut beside, FLAGS))?.bytes;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        self.unread.extend_from_slice(chunk.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(target_os = "linux")]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: RecvFlags = RecvFlags::empty();

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use serde_json::json;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (Wire, Wire) {
        let (one, other) = UnixStream::pair().unwrap();
        (Wire::new(one), Wire::new(other))
    }

    #[test]
    fn lines_and_files_arrive_in_their_order() {
        let (one, mut other) = pair();
        let made: Vec<_> = (0..FILES as u64)
            .map(|length| {
                let file = tempfile::tempfile().unwrap();
                file.set_len(length).unwrap();
                file
            })
            .collect();
        let files: Vec<_> = made.iter().map(AsFd::as_fd).collect();
        let long = "x".repeat(100_000);
        let sender = std::thread::spawn(move || {
            one.send(&json!({ "n": 1, "long": long }), &[]).unwrap();
            one
        });
        assert_eq!(other.receive(SOON).unwrap().unwrap()["n"], 1);
        let one = sender.join().unwrap();
        one.send(&json!({ "n": 2 }), &files[..3]).unwrap();
        one.send(&json!({ "n": 3 }), &files).unwrap();
        drop(one);
        assert_eq!(other.receive(SOON).unwrap().unwrap()["n"], 2);
        let lengths = |files: Vec<OwnedFd>| {
            let length = |file| File::from(file).metadata().unwrap().len();
            files.into_iter().map(length).collect::<Vec<_>>()
        };
        assert_eq!(lengths(other.take(3).unwrap()), [0, 1, 2]);
        assert_eq!(other.receive(SOON).unwrap().unwrap()["n"], 3);
        assert_eq!(lengths(other.take(FILES).unwrap()), (0..FILES as u64).collect::<Vec<_>>());
        assert!(other.take(1).is_err());
        assert!(other.receive(SOON).unwrap().is_none());
    }

    #[test]
    fn what_does_not_come_is_not_waited_for() {
        let (one, mut other) = pair();
        let late = other.receive(Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::WouldBlock);
        one.send(&json!("x"), &[]).unwrap();
        assert_eq!(other.receive(SOON).unwrap().unwrap(), "x");
    }
}
