//! Frames that go on as they came.

use super::*;

/// What a connection does: what went on, after how many bytes, and what was shown.
fn through(mut passage: Passage, pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut held, mut out) = (Vec::new(), Vec::new());
    let (mut data, mut control) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        let free = passage.read(&held, |what, part| {
            match what {
                Shown::Data => data.extend_from_slice(part),
                Shown::Control => control.extend_from_slice(part),
            }
            Ok::<_, ()>(())
        });
        out.extend(held.drain(..free.unwrap()));
        if held.len() >= HELD_BYTES_MAX {
            out.extend(held.drain(..passage.let_go()));
        }
        assert!(held.len() < HELD_BYTES_MAX);
    }
    (out, data, control)
}

#[test]
fn nothing_of_a_frame_goes_before_all_of_it_was_shown() {
    for rules in [Rules::Client, Rules::Lenient] {
        let first = bytes(&[Frame::new(true, Opcode::Text, "first").masked([1, 2, 3, 4])]);
        let second = bytes(&[Frame::new(true, Opcode::Text, "stop here").masked([9, 8, 7, 6])]);
        let all = [first.clone(), second].concat();
        let mut passage = Passage::holding(rules);
        let mut seen = Vec::new();
        let mut gone = 0;
        for end in 1..=all.len() {
            let read = passage.read(&all[gone..end], |_, part| {
                seen.extend_from_slice(part);
                if seen.ends_with(b"stop here") { Err("found") } else { Ok(()) }
            });
            match read {
                Ok(free) => gone += free,
                Err(stop) => assert_eq!((stop, end), (Stop::Refused("found"), all.len())),
            }
            assert!(gone == 0 || gone == first.len(), "{gone} of {end}");
        }
        assert_eq!(gone, first.len());
    }
}

#[test]
fn a_frame_of_any_length_goes_in_parts() {
    let payload: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let all = bytes(&[
        Frame::new(true, Opcode::Binary, &payload).masked([0, 255, 3, 1]),
        Frame::new(true, Opcode::Text, "then").masked([1, 1, 1, 1]),
    ]);
    for length in [1000, 7001, 65_536, 200_000] {
        let (out, data, control) = through(Passage::holding(Rules::Client), &pieces(&all, &[length]));
        assert!(out == all && control.is_empty(), "{length}");
        assert!(data == [&payload[..], b"then"].concat(), "{length}");
    }
}

proptest! {
    #[test]
    fn what_goes_on_is_what_came(talk in talk(), key: [u8; 4], lengths in lengths()) {
        let talk: Vec<Frame> = talk.into_iter().map(|frame| frame.masked(key)).collect();
        let all = bytes(&talk);
        let of = |control: bool| {
            let some = talk.iter().filter(|frame| frame.header.opcode.is_control() == control);
            some.flat_map(|frame| frame.payload.clone()).collect::<Vec<u8>>()
        };
        for passage in [Passage::holding(Rules::Client), Passage::holding(Rules::Lenient)] {
            let (out, data, control) = through(passage, &pieces(&all, &lengths));
            prop_assert_eq!(&out, &all);
            prop_assert_eq!((data, control), (of(false), of(true)));
        }
        let (out, data, _) = through(Passage::open(), &pieces(&all, &lengths));
        prop_assert_eq!(&out, &all);
        prop_assert!(data.is_empty());
    }

    #[test]
    fn any_bytes_pass_where_nothing_is_asked_of_them(all: Vec<u8>, lengths in lengths()) {
        let (out, _, _) = through(Passage::open(), &pieces(&all, &lengths));
        // But for the head of a frame that is not whole.
        prop_assert!(all.starts_with(&out) && all.len() - out.len() < 14);
    }
}
