use std::collections::HashSet;

use super::text::{Kind, Text};
use super::*;

#[test]
fn the_text_is_as_the_format_has_it() {
    let mut text = Text::default();
    text.family("a_total", Kind::Counter, "What it counts.")
        .sample(&[("x", "plain"), ("y", "back\\slash \"quoted\"\nnext")], 3)
        .sample(&[], 0);
    text.family("b_seconds", Kind::Histogram, "How long.").histogram(
        &[("type", "http")],
        &[25, 1_500, 2_000_000],
        &[1, 0, 2, 4],
        Duration::from_micros(1_250_000),
    );
    text.family("c", Kind::Gauge, "How many.").histogram(&[], &[], &[5], Duration::ZERO);
    let want = r#"# HELP ensage_a_total What it counts.
# TYPE ensage_a_total counter
ensage_a_total{x="plain",y="back\\slash \"quoted\"\nnext"} 3
ensage_a_total 0
# HELP ensage_b_seconds How long.
# TYPE ensage_b_seconds histogram
ensage_b_seconds_bucket{type="http",le="0.000025"} 1
ensage_b_seconds_bucket{type="http",le="0.0015"} 1
ensage_b_seconds_bucket{type="http",le="2"} 3
ensage_b_seconds_bucket{type="http",le="+Inf"} 7
ensage_b_seconds_sum{type="http"} 1.25
ensage_b_seconds_count{type="http"} 7
# HELP ensage_c How many.
# TYPE ensage_c gauge
ensage_c_bucket{le="+Inf"} 5
ensage_c_sum 0
ensage_c_count 5
"#;
    assert_eq!(text.finish(), want);
}

#[test]
fn a_duration_is_in_the_first_bucket_that_holds_it() {
    let histogram = Histogram::default();
    let us = Duration::from_micros;
    let ns = Duration::from_nanos(1);
    for took in [Duration::ZERO, us(25), us(25) + ns, us(1_000_000), us(1_000_000) + ns, Duration::from_secs(9)] {
        histogram.observe(&OVERHEADS_US, took);
    }
    let buckets: Vec<u64> = histogram.buckets.iter().map(Cell::read).collect();
    assert_eq!(buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(histogram.sum_ns.read(), 11_000_050_002);
    assert!(OVERHEADS_US.is_sorted_by(|a, b| a < b) && DURATIONS_US.is_sorted_by(|a, b| a < b));
}

#[test]
fn each_kind_of_call_has_a_cell_of_its_own() {
    let mut seen = HashSet::new();
    for kind in CallType::ALL {
        for decision in Decision::ALL {
            for reason in reasons() {
                let place = EnclaveTally::place(kind, decision, reason);
                assert!(place < CALLS && seen.insert(place), "{kind:?} {decision:?} {reason:?}");
            }
        }
    }
    assert_eq!(seen.len(), CALLS);
}

#[test]
fn workers_are_added_up() {
    let metrics = Metrics::new(3);
    for (number, enclave) in [(0, "a"), (1, "a"), (2, "b")] {
        let cells = metrics.worker(number).enclave(&enclave.into());
        cells.call(CallType::Http, Decision::Allow, None);
        cells.call(CallType::Mcp, Decision::Deny, Some(Reason::ToolNotAllowed));
        cells.call(CallType::Mcp, Decision::Allow, Some(Reason::ToolNotAllowed));
    }
    assert_eq!(metrics.decisions(), (6, 3));
    let cells = metrics.enclaves();
    assert_eq!(cells.iter().map(|(name, all)| (&**name, all.len())).collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
    // One name has one table, however often it is asked for.
    let worker = &metrics.workers[0];
    assert!(Arc::ptr_eq(&worker.enclave(&"a".into()), &worker.enclave(&"a".into())));
}

#[test]
fn a_meter_counts_what_is_open() {
    let tally = Arc::<Tally>::default();
    let (a, b) = (Meter::new(&tally, Leg::Upstream), Meter::new(&tally, Leg::Client));
    a.read(5);
    a.written(7);
    b.read(1);
    b.written(2);
    let read = |leg: Leg| [&tally.leg(leg).up, &tally.leg(leg).down, &tally.leg(leg).open].map(Cell::read);
    assert_eq!((read(Leg::Upstream), read(Leg::Client)), ([7, 5, 1], [1, 2, 1]));
    drop(a);
    assert_eq!(read(Leg::Upstream), [7, 5, 0]);
}
