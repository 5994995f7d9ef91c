//! Why something was not stored, not read, or not opened: decisions with a stable code.

use std::io;
use std::path::PathBuf;

/// Declares an enum of reasons with their codes in one table.
macro_rules! codes {
    ($(#[$about:meta])* $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $code:literal;)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every reason of this kind.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Stable kebab-case code for headers, logs and metrics.
            pub fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($name::$variant => concat!($($doc),+).trim(),)+ }
            }
        }
    };
}

codes! {
    /// Why [`begin`](crate::Store::begin) gave no right to store.
    Refused {
        /// The declared length is beyond what any tier takes.
        TooLarge = "too-large";
        /// Bodies under way already take the share of memory they may take, and there is no disk.
        NoRoom = "no-room";
        /// Only the disk could take it, and the disk rests after a failure.
        DiskResting = "disk-resting";
        /// What is stored of the representation lies in too many places already.
        TooScattered = "too-scattered";
    }
}

/// What became of a finished fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Later look-ups can find it.
    Stored,
    /// The readers have it whole, the store does not keep it.
    NotStored(NotStored),
}

impl Committed {
    /// The code of the reason why it is not kept, if it is not.
    pub fn why_not(self) -> Option<&'static str> {
        match self {
            Self::Stored => None,
            Self::NotStored(why) => Some(why.code()),
        }
    }
}

codes! {
    /// Why a finished body is not kept.
    NotStored {
        /// The body grew beyond what any tier takes.
        TooLarge = "too-large";
        /// No tier had room for it.
        NoRoom = "no-room";
        /// The disk failed while the body was written, or stores nothing because it failed before.
        DiskFailed = "disk-failed";
        /// The disk did not keep up with the body.
        DiskSlow = "disk-slow";
        /// The key was removed, or everything cleared, while the body was on its way.
        Removed = "removed";
        /// The body is shorter than declared; its readers are told that it broke off.
        WrongLength = "wrong-length";
    }
}

impl From<Refused> for NotStored {
    fn from(why: Refused) -> Self {
        match why {
            Refused::TooLarge => Self::TooLarge,
            Refused::NoRoom | Refused::TooScattered => Self::NoRoom,
            Refused::DiskResting => Self::DiskFailed,
        }
    }
}

/// Why a body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The fill broke off, or began to forget before this reader came, or others had to wait for
    /// this reader for too long.
    #[error("the body broke off before its end")]
    Abandoned,
    /// The stored bytes are not the ones that were written; the entry has been dropped.
    #[error("block {block} {}", if matches!(.why, Damage::Size) { "is cut short" } else { "has a wrong checksum" })]
    Damaged {
        /// Which 64 KiB of the body, counted from 0.
        block: u64,
        /// What is wrong with it.
        why: Damage,
    },
    /// A part of the body that is not there.
    #[error("the body has nothing at byte {offset}")]
    Absent {
        /// The first byte that is missing.
        offset: u64,
    },
    /// The file cannot be opened, or not in time.
    #[error("opening the file: {0}")]
    Open(#[source] io::Error),
    /// The disk failed, or did not answer in time.
    #[error("reading block {block}: {source}")]
    Read {
        /// The first of the blocks that were asked for, counted from 0.
        block: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a chunk was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The body is longer than declared; nothing of this chunk was taken.
    #[error("the body is longer than declared")]
    LongerThanDeclared,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{directory} is in use{}", .pid.map(|p| format!(" by process {p}")).unwrap_or_default())]
    InUse {
        /// The store's directory.
        directory: PathBuf,
        /// The process that holds the lock, where it could be told.
        pid: Option<u32>,
    },
    /// The directory has files that are not a store's.
    #[error("{directory} is not empty and not a store")]
    Foreign {
        /// The directory that was asked for.
        directory: PathBuf,
    },
    /// The store was written by another version of the program.
    #[error(
        "{directory} has store format {found:?}, this program reads {expected:?}: remove that \
         directory, or use another one"
    )]
    Version {
        /// The store's directory.
        directory: PathBuf,
        /// What its `format` file says.
        found: String,
        /// What this program writes.
        expected: &'static str,
    },
    /// The system refused.
    #[error("{doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a file was dropped from the disk tier instead of being served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Lengths do not add up, or the file is too short for a footer.
    #[default]
    Size,
    /// The footer does not begin with the magic number.
    Magic,
    /// The file has another format version.
    Version,
    /// The checksum of the footer, the tail or a block of the body does not match.
    Checksum,
    /// A whole and sound file of another key, variant or place.
    Identity,
    /// The metadata cannot be decoded.
    Meta,
    /// The file that the index knows is not there, or a segment between others.
    Missing,
    /// A segment or snapshot that the system cannot read.
    Unreadable,
}

impl Damage {
    /// Every kind, in the order of the counters in [`Stats`](crate::Stats).
    pub const ALL: [Self; 8] = [
        Self::Size,
        Self::Magic,
        Self::Version,
        Self::Checksum,
        Self::Identity,
        Self::Meta,
        Self::Missing,
        Self::Unreadable,
    ];

    /// Stable kebab-case code for logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::Identity => "identity",
            Self::Meta => "meta",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }
}
