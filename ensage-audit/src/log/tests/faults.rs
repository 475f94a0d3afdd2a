//! Any order of records, ends of segments, full disks and failed syncs, without the log's waiting between attempts.

use proptest::prelude::*;

use super::share::{call, given, policy, process, session, shown};
use super::*;
use crate::folder::segment_name;
use crate::fragment::Fragment;
use crate::frame::GENESIS;

#[derive(Clone, Debug)]
enum Step {
    /// Which session, process and policy; over the end is none.
    Call(usize, usize, usize),
    /// The segment is old enough.
    Roll,
    Drain,
    Sync,
    /// Room for so many bytes.
    Full(u64),
    BadSyncs(u64),
    BadCuts(u64),
    Mended,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..4_usize, 0..6_usize, 0..3_usize).prop_map(|(s, p, q)| Step::Call(s, p, q)),
        2 => Just(Step::Roll),
        4 => Just(Step::Drain),
        2 => Just(Step::Sync),
        2 => (0..1500_u64).prop_map(Step::Full),
        1 => (1..3_u64).prop_map(Step::BadSyncs),
        1 => (1..3_u64).prop_map(Step::BadCuts),
        3 => Just(Step::Mended),
    ];
    proptest::collection::vec(step, 1..80)
}

/// The two halves of a log, and what they were given.
struct Halves {
    rig: Rig,
    front: Mutex<Front>,
    back: Back,
    faults: Arc<Faults>,
    calls: Vec<[Option<String>; 3]>,
    /// The files may have more than the back says.
    uncut: bool,
    segment_bytes: u64,
}

impl Halves {
    fn new(segment_bytes: u64) -> Self {
        let rig = Rig::new();
        let folder = Folder::at(&rig.dir());
        folder.prepare().unwrap();
        let back = Back::start(folder, 0, GENESIS).unwrap();
        let faults = back.sync_point().disk.faults.clone();
        let front = Mutex::new(Front::new(0, GENESIS, segment_bytes));
        Self { rig, front, back, faults, calls: Vec::new(), uncut: false, segment_bytes }
    }

    fn push(&mut self, texts: [Option<&Fragment>; 3]) {
        let draft = call(texts[0], texts[1], texts[2]);
        self.front.get_mut().unwrap().push(&draft, SystemTime::now(), &|_| {});
        self.calls.push(given(texts));
    }

    fn sync(&mut self) {
        let point = self.back.sync_point();
        let done = point.disk.sync_data();
        let _ = self.back.note_sync(&point, done);
    }

    fn mend(&self) {
        self.faults.room.store(u64::MAX, Ordering::SeqCst);
        self.faults.bad_syncs.store(0, Ordering::SeqCst);
        self.faults.bad_cuts.store(0, Ordering::SeqCst);
    }

    /// What is in the files is whole, in order, in its place, and as much as the back says.
    fn check(&self) {
        let mut reader = Records::open(&self.rig.dir()).unwrap();
        let (mut seq, mut segment, mut in_segment) = (0, String::new(), 0);
        while let Some(found) = reader.next().unwrap() {
            let Found::Record(record) = found else { panic!("{found:?} behind {seq}") };
            let value: Value = serde_json::from_str(record.line).unwrap();
            assert_eq!(value["seq"], seq + 1);
            assert_eq!(shown(&value), self.calls[seq as usize], "{value}");
            if segment == record.segment {
                in_segment += 1;
            } else {
                assert_eq!(record.segment, segment_name(seq + 1), "not the first of its segment");
                (segment, in_segment) = (record.segment.to_owned(), 1);
            }
            let bytes = std::fs::metadata(self.rig.dir().join("segments").join(&segment)).unwrap().len();
            assert!(bytes <= self.segment_bytes || in_segment == 1, "{bytes} bytes in {segment}");
            seq += 1;
        }
        // What was written in vain may be whole all the same; it is written again in that very place.
        let more = self.uncut && seq > self.back.seq();
        assert!(seq == self.back.seq() || more, "{seq} records, {} told", self.back.seq());
    }
}

#[test]
fn a_segment_of_nothing_does_not_end() {
    let mut halves = Halves::new(4000);
    let pending = |halves: &mut Halves| {
        let mut bytes = Vec::new();
        halves.front.get_mut().unwrap().hand_over(&mut bytes);
        bytes
    };
    let roll = |halves: &mut Halves| halves.front.get_mut().unwrap().roll();
    roll(&mut halves);
    assert!(pending(&mut halves).is_empty());
    halves.push([None; 3]);
    roll(&mut halves);
    roll(&mut halves);
    let bytes = pending(&mut halves);
    let frame = crate::frame::FRAME_BYTES + usize::try_from(u32::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
    assert_eq!(bytes[frame..], crate::log::front::ROLL);
    roll(&mut halves);
    assert!(pending(&mut halves).is_empty());
}

proptest! {
    // Each new segment syncs the folder, which takes long on a disk that others use too.
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn h15_no_order_of_faults_loses_doubles_or_misplaces_a_record(steps in steps(), segment_bytes in 300..4000_u64) {
        let mut halves = Halves::new(segment_bytes);
        let sessions = [session("a"), session("b"), session("c")];
        let processes: Vec<Fragment> = (0..5).map(|n: usize| process(&"x".repeat(n * 70))).collect();
        let policies = [policy(1), policy(2)];
        for step in steps {
            match step {
                Step::Call(s, p, q) => halves.push([sessions.get(s), processes.get(p), policies.get(q)]),
                Step::Roll => halves.front.get_mut().unwrap().roll(),
                Step::Drain => {
                    let _ = halves.back.drain(&halves.front);
                    halves.check();
                }
                Step::Sync => halves.sync(),
                Step::Full(room) => halves.faults.room.store(room, Ordering::SeqCst),
                Step::BadSyncs(many) => halves.faults.bad_syncs.store(many, Ordering::SeqCst),
                Step::BadCuts(many) => {
                    halves.uncut = true;
                    halves.faults.bad_cuts.store(many, Ordering::SeqCst);
                }
                Step::Mended => halves.mend(),
            }
        }
        halves.mend();
        halves.back.drain(&halves.front).unwrap();
        halves.uncut = false;
        halves.check();
        prop_assert_eq!(halves.back.seq(), halves.calls.len() as u64);
        // Nobody sets a segment of nothing aside, or leaves one, but for the one that is next.
        let files = std::fs::read_dir(halves.rig.dir().join("segments")).unwrap().count();
        prop_assert_eq!(files, halves.rig.segments().len());
        let empty = |name: &String| {
            std::fs::metadata(halves.rig.dir().join("segments").join(name)).unwrap().len() <= crate::frame::HEADER_BYTES
        };
        let segments = halves.rig.segments();
        prop_assert!(!segments[..segments.len() - 1].iter().any(empty), "{:?}", segments);
    }
}
