//! Segments that another version of the program wrote.

use super::*;
use crate::error::{OtherVersion, ReadError};
use crate::frame::{At, FRAME_BYTES, HEADER_BYTES, SegmentReader};
use crate::query::{self, Query, QueryError};
use crate::verify::verify;

/// A closed log of two segments, two records each.
fn two() -> (Rig, [PathBuf; 2]) {
    let rig = Rig::new();
    for texts in [["a", "b"], ["c", "d"]] {
        let log = rig.open();
        for text in texts {
            log.append(&note(text)).unwrap();
        }
    }
    let paths = [1u64, 3].map(|first| rig.dir().join(format!("segments/{first:020}.seg")));
    (rig, paths)
}

/// The segment as version 1 had it: frames without the hash of the record before.
fn as_first_version(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes[..HEADER_BYTES as usize].to_vec();
    out[8] = 1;
    let mut reader = SegmentReader::new(io::Cursor::new(bytes));
    let mut offset = HEADER_BYTES;
    while let At::Frame(frame) = reader.at(offset).unwrap() {
        let at = offset as usize;
        out.extend_from_slice(&bytes[at..at + 4]);
        out.extend_from_slice(&bytes[at + 36..at + FRAME_BYTES]);
        out.extend_from_slice(reader.payload(&frame).unwrap());
        offset = frame.end;
    }
    out
}

fn told<T: std::fmt::Debug>(result: Result<T, ReadError>) -> OtherVersion {
    match result {
        Err(ReadError::Version(told)) => told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment_of_another_version_is_told_by_all_who_read_it_and_is_not_touched() {
    let (_rig, [_, path]) = two();
    let whole = std::fs::read(path).unwrap();
    let bare = [&whole[..8], &[9], &whole[9..HEADER_BYTES as usize]].concat();
    let later = [&bare, &[0xa5; 300][..]].concat();
    // The second one had the same frames around other records.
    let second = [&whole[..8], &[2], &whole[9..]].concat();
    for (version, bytes) in [(1, as_first_version(&whole)), (2, second), (9, bare), (9, later)] {
        let (rig, [_, path]) = two();
        std::fs::write(&path, &bytes).unwrap();
        let other = OtherVersion { path: path.clone(), version };

        assert!(
            matches!(Log::open(&rig.dir(), Options::default(), &KEY), Err(AuditError::Version(told)) if told == other)
        );
        assert_eq!(told(verify(&rig.dir(), None)), other);
        assert_eq!(told(query::find(&rig.dir(), crate::Uuid::now_v7())), other);
        assert_eq!(told(query::summary(&rig.dir(), crate::Uuid::now_v7())), other);
        let mut lines = 0;
        let run = query::run(&rig.dir(), &Query::default(), &mut |_| {
            lines += 1;
            Ok(())
        });
        let Err(QueryError::Read(error)) = run else { panic!("{run:?}") };
        assert_eq!((told::<()>(Err(error)), lines), (other.clone(), 2), "what lies before it is shown");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);

        assert_eq!(
            other.to_string(),
            format!("the segment {path:?} was written in format version {version}, this build reads version 3")
        );
        let folder = format!("{:?}", rig.dir());
        assert_eq!(other.remedy(), format!("move {folder} aside, a new log begins in its place; nothing is deleted"));
        std::fs::rename(rig.dir(), rig.temp.path().join("aside")).unwrap();
        assert_eq!(rig.open().append(&note("e")).unwrap(), 1);
    }
}

#[test]
fn reading_goes_on_behind_a_segment_of_another_version() {
    let (rig, [path, _]) = two();
    std::fs::write(&path, as_first_version(&std::fs::read(&path).unwrap())).unwrap();
    let mut reader = Records::open(&rig.dir()).unwrap();
    assert_eq!(told(reader.next()).path, path);
    let Some(Found::Record(record)) = reader.next().unwrap() else { panic!() };
    assert!(record.line.contains(r#""seq":3,"#), "{}", record.line);
}
