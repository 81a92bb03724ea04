//! What a run prints and writes.

use std::io::{self, Write};

use hdrhistogram::Histogram;

use crate::arguments::Arguments;
use crate::record::Record;

const BENCH: &str = "ringload";
/// Steps of the percentile file for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;

/// Prints all figures, then the errors.
pub(crate) fn print(arguments: &Arguments, record: &Record) {
    let case = arguments.case();
    for (name, value, unit) in &record.figures {
        if arguments.json {
            line(&case, name, *value, unit);
        } else {
            println!("{case:<14} {name:<18} {value:>14.1} {unit}");
        }
    }
    for (kind, count) in &record.errors {
        if arguments.json {
            line(&case, &format!("errors: {kind}"), *count as f64, "");
        } else {
            println!("{case:<14} errors: {kind}: {count}");
        }
    }
}

/// Prints one figure at once, for whoever watches the run.
pub(crate) fn line(case: &str, name: &str, value: f64, unit: &str) {
    let text = json_line(case, name, value, unit);
    // Whoever reads may have gone; the run goes on to its end.
    let _ = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
}

fn json_line(case: &str, name: &str, value: f64, unit: &str) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    let line = serde_json::json!({
        "bench": BENCH, "case": case, "name": name, "value": rounded, "unit": unit,
    });
    line.to_string()
}

/// The percentile text format of HdrHistogram, which its plotter reads.
pub(crate) fn write_hgrm(out: &mut impl Write, latency: &Histogram<u64>) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for step in latency.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64;
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(out, "{value:>12.3} {quantile:>2.12} {total:>10} {inverse:>14.2}")?;
        } else {
            writeln!(out, "{value:>12.3} {quantile:>2.12} {total:>10}")?;
        }
    }
    let (mean, deviation) = (latency.mean(), latency.stdev());
    let (max, count) = (latency.max() as f64, latency.len());
    let sub_buckets = 2 * 10_u64.pow(u32::from(latency.sigfig()));
    let (buckets, sub_buckets) = (latency.buckets(), sub_buckets.next_power_of_two());
    writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    writeln!(out, "#[Max     = {max:>12.3}, Total count    = {count:>12}]")?;
    writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_figure_is_one_json_object() {
        let expected =
            r#"{"bench":"ringload","case":"relay","name":"p99","unit":"us","value":12.346}"#;
        let value: serde_json::Value =
            serde_json::from_str(&json_line("relay", "p99", 12.345_678, "us")).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(expected).unwrap());
        assert!(!json_line("a", "b\n", 1.0, "").contains('\n'));
    }

    #[test]
    fn the_percentile_file_has_the_standard_format() {
        let mut record = Record::new("requests");
        for micros in [10, 20, 30, 5_000] {
            record.latency.record(micros).unwrap();
        }
        let mut text = Vec::new();
        write_hgrm(&mut text, &record.latency).unwrap();
        expect![[r#"
                   Value     Percentile TotalCount 1/(1-Percentile)

                  10.000 0.000000000000          1           1.00
                  10.000 0.100000000000          1           1.11
                  10.000 0.200000000000          1           1.25
                  20.000 0.300000000000          2           1.43
                  20.000 0.400000000000          2           1.67
                  20.000 0.500000000000          2           2.00
                  30.000 0.550000000000          3           2.22
                  30.000 0.600000000000          3           2.50
                  30.000 0.650000000000          3           2.86
                  30.000 0.700000000000          3           3.33
                5003.000 0.750000000000          4           4.00
                5003.000 1.000000000000          4
            #[Mean    =     1265.500, StdDeviation   =     2157.281]
            #[Max     =     5003.000, Total count    =            4]
            #[Buckets =           16, SubBuckets     =         2048]
        "#]]
        .assert_eq(&String::from_utf8(text).unwrap());
    }
}
