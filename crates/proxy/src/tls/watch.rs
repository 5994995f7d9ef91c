//! Looks after certificates while they are served: reads their files again when they have changed,
//! and warns before they end. It has a thread of its own, so that no request waits for a file.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use policy::Timestamp;

use super::certificates::{CertificateInfo, Certificates, Change};
use super::stamp::Stamp;
use crate::clock::Clock;
use crate::events::{Notice, Recorder, Trouble};

/// From so many days before its end on a certificate is warned of.
const WARNING_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Asks the watch to read everything again now. The watch ends with the last of these.
#[derive(Clone)]
pub(crate) struct Bell(Arc<Mutex<Sender<()>>>);

impl Bell {
    pub(crate) fn ring(&self) {
        // The watch may have ended already.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(());
    }
}

/// Starts the watch over the certificates of all listeners.
pub(crate) fn start(
    watched: Vec<Arc<Certificates>>,
    clock: Clock,
    recorder: Arc<dyn Recorder>,
) -> io::Result<Bell> {
    let (bell, rings) = channel();
    let mut watch = Watch {
        watched: watched.into_iter().map(Watched::new).collect(),
        clock,
        recorder,
        warned: None,
    };
    watch.introduce();
    if !watch.watched.is_empty() {
        let named = thread::Builder::new().name("certificates".to_owned());
        named.spawn(move || watch.run(&rings))?;
    }
    Ok(Bell(Arc::new(Mutex::new(bell))))
}

struct Watch {
    watched: Vec<Watched>,
    clock: Clock,
    recorder: Arc<dyn Recorder>,
    /// When it was last warned of certificates that end.
    warned: Option<Timestamp>,
}

struct Watched {
    certificates: Arc<Certificates>,
    /// The files as they were when they were last read.
    read: Vec<Option<Stamp>>,
    /// The files as they were at the last look.
    seen: Vec<Option<Stamp>>,
}

impl Watched {
    fn new(certificates: Arc<Certificates>) -> Self {
        let stamps = certificates.first_stamps();
        Self { certificates, read: stamps.clone(), seen: stamps }
    }

    /// What has changed, once it changes no more: whoever writes a certificate has yet to write its
    /// key.
    fn look(&mut self, at_once: bool) -> Vec<Change> {
        let stamps = self.certificates.stamps();
        let settled = stamps == self.seen;
        self.seen.clone_from(&stamps);
        if at_once || (settled && stamps != self.read) {
            self.read = stamps;
            return self.certificates.reload();
        }
        Vec::new()
    }
}

impl Watch {
    fn run(mut self, rings: &Receiver<()>) {
        let looks = self.watched.iter().map(|watched| watched.certificates.settings().look);
        let pause = looks.min().unwrap_or(Duration::MAX);
        loop {
            let at_once = match rings.recv_timeout(pause) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for watched in &mut self.watched {
                for change in watched.look(at_once) {
                    tell(&*self.recorder, &change, self.clock.now());
                }
            }
            self.warn();
        }
    }

    /// Says what is served.
    fn introduce(&mut self) {
        let now = self.clock.now();
        for info in self.watched.iter().flat_map(|watched| watched.certificates.infos()) {
            let message = format!("serving {}", describe(&info, now));
            self.recorder.notice(&Notice { code: "certificate-loaded", message: &message });
        }
        self.warn();
    }

    /// Warns of certificates that end soon, once a day.
    fn warn(&mut self) {
        let now = self.clock.now();
        let since = |told: Timestamp| now.as_millis().saturating_sub(told.as_millis());
        if self.warned.is_some_and(|told| since(told) < DAY) {
            return;
        }
        for info in self.watched.iter().flat_map(|watched| watched.certificates.infos()) {
            let left = info.not_after.as_millis().saturating_sub(now.as_millis());
            if left > WARNING_DAYS * DAY {
                continue;
            }
            self.warned = Some(now);
            let (code, message) = if left <= 0 {
                ("certificate-expired", "clients will refuse ")
            } else {
                ("certificate-expires", "renew ")
            };
            let message = format!("{message}{}", describe(&info, now));
            self.recorder.trouble(&Trouble { code, message: &message, times: 1 });
        }
    }
}

fn tell(recorder: &dyn Recorder, change: &Change, now: Timestamp) {
    match change {
        Change::Renewed(info) => {
            let message = format!("now serving {}", describe(info, now));
            recorder.notice(&Notice { code: "certificate-renewed", message: &message });
        }
        Change::Authorities(path) => {
            let message = format!("client certificates are now checked by {}", path.display());
            recorder.notice(&Notice { code: "authorities-renewed", message: &message });
        }
        Change::Kept(error) => {
            let message = format!("{error}; what was served before is kept");
            let code = "certificate-kept";
            recorder.trouble(&Trouble { code, message: &message, times: 1 });
        }
    }
}

/// The certificate in words: its names, its file, and how long it is still good for.
fn describe(info: &CertificateInfo, now: Timestamp) -> String {
    let names = if info.names.is_empty() { "no name".into() } else { info.names.join(", ") };
    let left = info.not_after.as_millis().saturating_sub(now.as_millis());
    let end = match left / DAY {
        _ if left <= 0 => "has expired".to_owned(),
        0 => "expires within a day".to_owned(),
        1 => "expires in a day".to_owned(),
        days => format!("expires in {days} days"),
    };
    format!("the certificate for {names} ({}), which {end}", info.file.display())
}
