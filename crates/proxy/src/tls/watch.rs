//! Looks after certificates while they are served: reads their files again when they have changed,
//! and warns before they end. It has a thread of its own, so that no request waits for a file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use policy::{Timestamp, date};
use rustls::RootCertStore;

use super::certificates::CertificateInfo;
use super::pair::{self, Pair, PairError, PairFiles, Time};
use super::stamp::Stamp;
use crate::clock::Clock;
use crate::events::{Notice, Recorder, Trouble};

/// From so many days before its end on a certificate is warned of.
const WARNING_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Files that are read again when they have changed.
pub(crate) trait Renewable: Send + Sync {
    /// With whom they are used.
    fn side(&self) -> Side;
    /// How often they are looked at.
    fn look(&self) -> Duration;
    /// Their stamps as they are now.
    fn stamps(&self) -> Vec<Option<Stamp>>;
    /// Their stamps as they were at the start.
    fn first_stamps(&self) -> Vec<Option<Stamp>>;
    /// Reads all of them again. What is good is used from now on; in place of what is not, the old
    /// stays. Connections that are there stay as they are.
    fn reload(&self, now: Timestamp) -> Vec<Change>;
    /// The certificates in use, in the order of the settings.
    fn infos(&self) -> Vec<CertificateInfo>;
}

/// With whom TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Clients,
    Origin,
}

/// What a look at the files has come to.
#[derive(Debug)]
pub(crate) enum Change {
    /// A certificate was read anew.
    Renewed(CertificateInfo),
    /// The list of authorities was read anew.
    Authorities(PathBuf),
    /// What was there before is kept.
    Kept(PairError),
}

impl Change {
    /// Reads a certificate and its key again. Where they are others, and good, they replace `pair`.
    pub(crate) fn of_pair(pair: &mut Arc<Pair>, files: &PairFiles, now: Timestamp) -> Option<Self> {
        match pair.renewed(files, now) {
            Ok(None) => None,
            Ok(Some(new)) => {
                let info = new.info(&files.certificate);
                *pair = Arc::new(new);
                Some(Self::Renewed(info))
            }
            Err(error) => Some(Self::Kept(error)),
        }
    }

    /// The same for a list of authorities.
    pub(crate) fn of_authorities(roots: &mut Arc<RootCertStore>, path: &Path) -> Option<Self> {
        match pair::roots(path, Time::Again) {
            Ok(new) if new.roots == roots.roots => None,
            Ok(new) => {
                *roots = Arc::new(new);
                Some(Self::Authorities(path.to_owned()))
            }
            Err(error) => Some(Self::Kept(error)),
        }
    }

    /// Whether something else is used from now on.
    pub(crate) const fn is_effective(&self) -> bool {
        !matches!(self, Self::Kept(_))
    }

    /// When what was kept out now can be taken up.
    const fn begins(&self) -> Option<Timestamp> {
        match self {
            Self::Kept(PairError::Early { begins, .. }) => Some(*begins),
            _ => None,
        }
    }
}

/// Asks the watch to read everything again now. The watch ends with the last of these.
#[derive(Clone)]
pub(crate) struct Bell(Arc<Mutex<Sender<()>>>);

impl Bell {
    pub(crate) fn ring(&self) {
        // The watch may have ended already.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(());
    }
}

/// Starts the watch over the files of all listeners and of the origin.
pub(crate) fn start(
    watched: Vec<Arc<dyn Renewable>>,
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
    certificates: Arc<dyn Renewable>,
    /// The files as they were when they were last read.
    read: Vec<Option<Stamp>>,
    /// The files as they were at the last look.
    seen: Vec<Option<Stamp>>,
    /// When a certificate begins that was kept from taking another's place before.
    due: Option<Timestamp>,
}

impl Watched {
    fn new(certificates: Arc<dyn Renewable>) -> Self {
        let stamps = certificates.first_stamps();
        Self { certificates, read: stamps.clone(), seen: stamps, due: None }
    }

    /// What has changed, once it changes no more: whoever writes a certificate has yet to write its
    /// key.
    fn look(&mut self, at_once: bool, now: Timestamp) -> Vec<Change> {
        let stamps = self.certificates.stamps();
        let settled = stamps == self.seen;
        self.seen.clone_from(&stamps);
        let is_due = self.due.is_some_and(|due| due <= now);
        if at_once || is_due || (settled && stamps != self.read) {
            self.read = stamps;
            let changes = self.certificates.reload(now);
            self.due = changes.iter().filter_map(Change::begins).min();
            return changes;
        }
        Vec::new()
    }
}

impl Watch {
    fn run(mut self, rings: &Receiver<()>) {
        let looks = self.watched.iter().map(|watched| watched.certificates.look());
        let pause = looks.min().unwrap_or(Duration::MAX);
        loop {
            let at_once = match rings.recv_timeout(pause) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for watched in &mut self.watched {
                let (side, now) = (watched.certificates.side(), self.clock.now());
                for change in watched.look(at_once, now) {
                    tell(&*self.recorder, side, &change, now);
                }
            }
            self.warn();
        }
    }

    /// Says what is served.
    fn introduce(&mut self) {
        let now = self.clock.now();
        for (side, info) in self.infos() {
            let message = format!("{} {}", side.shows(), describe(&info, now));
            self.recorder.notice(&Notice { code: "certificate-loaded", message: &message });
        }
        self.warn();
    }

    /// All certificates.
    fn infos(&self) -> Vec<(Side, CertificateInfo)> {
        let of = |watched: &Watched| {
            let side = watched.certificates.side();
            watched.certificates.infos().into_iter().map(move |info| (side, info))
        };
        self.watched.iter().flat_map(of).collect()
    }

    /// Warns of certificates that end soon, once a day.
    fn warn(&mut self) {
        let now = self.clock.now();
        let since = |told: Timestamp| now.as_millis().saturating_sub(told.as_millis());
        if self.warned.is_some_and(|told| since(told) < DAY) {
            return;
        }
        for (side, info) in self.infos() {
            let left = info.not_after.as_millis().saturating_sub(now.as_millis());
            if left > WARNING_DAYS * DAY {
                continue;
            }
            self.warned = Some(now);
            let (code, message) = if left <= 0 {
                ("certificate-expired", side.refuses())
            } else {
                ("certificate-expires", "renew")
            };
            let message = format!("{message} {}", describe(&info, now));
            self.recorder.trouble(&Trouble { code, message: &message, times: 1 });
        }
    }
}

impl Side {
    const fn shows(self) -> &'static str {
        match self {
            Self::Clients => "serving",
            Self::Origin => "showing the origin",
        }
    }

    const fn refuses(self) -> &'static str {
        match self {
            Self::Clients => "clients will refuse",
            Self::Origin => "the origin will refuse",
        }
    }

    /// What is checked by authorities.
    const fn checked(self) -> &'static str {
        match self {
            Self::Clients => "client certificates are",
            Self::Origin => "the origin's certificate is",
        }
    }
}

fn tell(recorder: &dyn Recorder, side: Side, change: &Change, now: Timestamp) {
    match change {
        Change::Renewed(info) => {
            let message = format!("now {} {}", side.shows(), describe(info, now));
            recorder.notice(&Notice { code: "certificate-renewed", message: &message });
        }
        Change::Authorities(path) => {
            let message = format!("{} now checked by {}", side.checked(), path.display());
            recorder.notice(&Notice { code: "authorities-renewed", message: &message });
        }
        Change::Kept(error) => {
            let message = format!("{error}; what was there before is kept");
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
        _ if info.not_before > now => {
            format!("is not valid before {}", date::format(info.not_before))
        }
        _ if left <= 0 => "has expired".to_owned(),
        0 => "expires within a day".to_owned(),
        1 => "expires in a day".to_owned(),
        days => format!("expires in {days} days"),
    };
    format!("the certificate for {names} ({}), which {end}", info.file.display())
}
