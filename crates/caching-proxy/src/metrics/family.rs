//! Families of numbers, and the two forms of text in which they are told: that of Prometheus
//! (version 0.0.4) and that of `OpenMetrics` (version 1.0.0). No I/O.

use std::fmt::Write as _;

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, from the start of the process on; takeovers are counted from that of the first
    /// process of the line on.
    Counter,
    /// It is what there is now.
    Gauge,
}

impl Kind {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Numbers of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// The name of its samples; that of a counter ends with `_total`.
    pub(crate) name: &'static str,
    /// What they mean.
    pub(crate) kind: Kind,
    /// What is counted, in one line.
    pub(crate) help: &'static str,
    /// The names of the labels that each sample has.
    pub(crate) labels: &'static [&'static str],
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    /// One for each label.
    values: Vec<String>,
    number: i64,
}

/// A family whose numbers only grow.
pub(crate) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help, labels: &[], samples: Vec::new() }
}

/// A family whose numbers tell what there is.
pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help, labels: &[], samples: Vec::new() }
}

impl Family {
    /// With this number alone.
    pub(crate) fn is(self, number: u64) -> Self {
        self.by::<0, String>(&[], [([], number)])
    }

    /// With a number for each of these values of the labels.
    pub(crate) fn by<const N: usize, V: Into<String>>(
        self,
        labels: &'static [&'static str; N],
        rows: impl IntoIterator<Item = ([V; N], u64)>,
    ) -> Self {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.by_signed(labels, rows.into_iter().map(|(values, number)| (values, signed(number))))
    }

    /// The same with numbers that may be negative.
    pub(crate) fn by_signed<const N: usize, V: Into<String>>(
        mut self,
        labels: &'static [&'static str; N],
        rows: impl IntoIterator<Item = ([V; N], i64)>,
    ) -> Self {
        self.labels = labels;
        for (values, number) in rows {
            let values: Vec<String> = values.into_iter().map(Into::into).collect();
            // The same again would make the whole text invalid.
            if self.samples.iter().all(|known| known.values != values) {
                self.samples.push(Sample { values, number });
            }
        }
        self
    }

    fn write(&self, out: &mut String, format: Format) {
        let Self { name, kind, help, labels, samples } = self;
        let of_family = match format {
            Format::Prometheus => name,
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {of_family} {help}");
        let _ = writeln!(out, "# TYPE {of_family} {}", kind.word());
        for Sample { values, number } in samples {
            out.push_str(name);
            let mut before = '{';
            for (label, value) in labels.iter().zip(values) {
                let _ = write!(out, "{before}{label}=\"{}\"", escaped(value));
                before = ',';
            }
            out.push_str(if before == ',' { "}" } else { "" });
            let _ = writeln!(out, " {number}");
        }
    }
}

/// Both formats escape these three in the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Which form of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Read by everything, also by the textfile collector of `node_exporter`.
    Prometheus,
    /// Says where it ends.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The whole text.
pub(crate) fn text(families: &[Family], format: Format) -> String {
    let mut out = String::new();
    for family in families {
        family.write(&mut out, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}
