//! The text exposition format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use crate::number::Tally;

/// One name with all its samples.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// By Prometheus' rules: a unit at its end, behind which a counter has `_total`.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// One sentence, for those who read the numbers.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// The text as far as it is written. Samples of one family are written one behind another.
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    /// The family that is being told.
    current: &'static str,
}

impl Text {
    /// Tells a count. The labels' values stand in the order of the family's labels.
    pub fn counter(&mut self, family: &'static Family, labels: &[&str], total: u64) {
        self.begin(family, Kind::Counter);
        self.name(family, "", labels, None);
        self.value(total);
    }

    pub fn gauge(&mut self, family: &'static Family, labels: &[&str], value: u64) {
        self.begin(family, Kind::Gauge);
        self.name(family, "", labels, None);
        self.value(value);
    }

    /// Tells a gauge or a count with a fraction, or below zero.
    pub fn measure(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        self.begin(family, family.kind);
        self.name(family, "", labels, None);
        self.value(value);
    }

    pub fn histogram(&mut self, family: &'static Family, labels: &[&str], tally: &Tally) {
        self.begin(family, Kind::Histogram);
        let mut below = 0;
        let uppers = tally.bounds.told().map(Some).chain([None]);
        for (count, upper) in tally.buckets.iter().zip(uppers) {
            below += count;
            let upper = upper.map_or_else(|| "+Inf".to_owned(), |upper| upper.to_string());
            self.name(family, "_bucket", labels, Some(&upper));
            self.value(below);
        }
        self.name(family, "_sum", labels, None);
        self.value(tally.bounds.tell(tally.sum));
        self.name(family, "_count", labels, None);
        self.value(below);
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn begin(&mut self, family: &'static Family, kind: Kind) {
        debug_assert_eq!(family.kind, kind, "{} is of another kind", family.name);
        if self.current == family.name {
            return;
        }
        debug_assert!(
            !self.text.contains(&format!("# TYPE {} ", family.name)),
            "{} was told already",
            family.name
        );
        self.current = family.name;
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        let Family { name, kind, .. } = family;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
    }

    fn name(&mut self, family: &Family, suffix: &str, labels: &[&str], upper: Option<&str>) {
        debug_assert_eq!(family.labels.len(), labels.len(), "{} has other labels", family.name);
        self.write(format_args!("{}{suffix}", family.name));
        let pairs = family.labels.iter().zip(labels).map(|(name, value)| (*name, *value));
        let mut before = "{";
        for (name, value) in pairs.chain(upper.map(|upper| ("le", upper))) {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.write(format_args!("{before}{name}=\"{value}\""));
            before = ",";
        }
        if before == "," {
            self.text.push('}');
        }
    }

    fn value(&mut self, value: impl std::fmt::Display) {
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        self.text.write_fmt(what).expect("a string takes all that is written to it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{Bounds, Histogram};

    static ASKED: Family = Family {
        name: "test_asked_total",
        kind: Kind::Counter,
        labels: &["who", "what"],
        help: "Questions.\nA \\ and a line.",
    };
    static THERE: Family =
        Family { name: "test_there", kind: Kind::Gauge, labels: &[], help: "What is there." };
    static TOOK: Family = Family {
        name: "test_took_seconds",
        kind: Kind::Histogram,
        labels: &["core"],
        help: "How long it took.",
    };

    #[test]
    fn a_family_is_headed_once_and_labels_are_escaped() {
        let mut text = Text::default();
        text.counter(&ASKED, &["a", "x\"y\\z\n"], 3);
        text.counter(&ASKED, &["b", ""], u64::MAX);
        text.measure(&THERE, &[], 0.25);
        let expected = "# HELP test_asked_total Questions.\\nA \\\\ and a line.\n\
             # TYPE test_asked_total counter\n\
             test_asked_total{who=\"a\",what=\"x\\\"y\\\\z\\n\"} 3\n\
             test_asked_total{who=\"b\",what=\"\"} 18446744073709551615\n\
             # HELP test_there What is there.\n\
             # TYPE test_there gauge\n\
             test_there 0.25\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let histogram = Histogram::new(&Bounds::SECONDS);
        for nanos in [1, 50_000, 50_001, 2_000_000_000, 60_000_000_000] {
            histogram.record(nanos);
        }
        let mut text = Text::default();
        text.histogram(&TOOK, &["1"], &histogram.tally());
        let text = text.finish();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 20);
        assert_eq!(lines[0], "test_took_seconds_bucket{core=\"1\",le=\"0.00005\"} 2");
        assert_eq!(lines[1], "test_took_seconds_bucket{core=\"1\",le=\"0.0001\"} 3");
        assert_eq!(lines[13], "test_took_seconds_bucket{core=\"1\",le=\"1\"} 3");
        assert_eq!(lines[14], "test_took_seconds_bucket{core=\"1\",le=\"2.5\"} 4");
        assert_eq!(lines[17], "test_took_seconds_bucket{core=\"1\",le=\"+Inf\"} 5");
        assert_eq!(lines[18], "test_took_seconds_sum{core=\"1\"} 62.000100002");
        assert_eq!(lines[19], "test_took_seconds_count{core=\"1\"} 5");
    }
}
