use super::*;
use crate::catalogue::tests::process;

/// A chain from pids, nearest first: 10s run agent a, 20s agent b, 30s both, others nothing.
fn chain(pids: &[u32]) -> Chain {
    let parent = |at: usize| pids.get(at + 1).copied().unwrap_or(0);
    let mut all: Vec<Process> = pids
        .iter()
        .enumerate()
        .map(|(at, pid)| {
            let exe = match pid / 10 {
                1 => "/a",
                2 => "/b",
                3 => "/ab",
                _ => "/other",
            };
            let mut process = process(*pid, parent(at), exe, None);
            if let Some(exe) = &mut process.exe {
                exe.id = (1, u64::from(pid / 10));
            }
            process
        })
        .collect();
    let process = all.remove(0);
    Chain { process, ancestors: all }
}

/// Identity in short: `NAME@ROOT` with `!` where registration made the root.
fn check(owners: &[&[u32]], registered: &[u32], want: &str) {
    let matchers = [Matcher::new("a").exe(|path| path.contains('a')), Matcher::new("b").exe(|path| path.contains('b'))];
    // The letters of the program's path: `/other` has neither.
    let rules = Rules {
        matchers: &matchers,
        registered: &|key| registered.contains(&key.pid) && key.start_time == u64::from(key.pid),
        digest: &|_| None,
    };
    let got = match identify(owners.iter().map(|pids| chain(pids)).collect(), &rules) {
        Identity::Agent(agent) => {
            let by = match agent.by {
                RootBy::Registration => "!",
                RootBy::Definition => "",
            };
            format!("{}@{}{by}/{}", agent.name.as_deref().unwrap_or("-"), agent.root.pid, agent.client.process.pid)
        }
        Identity::AmbiguousAgent { names, .. } => format!("ambiguous {}", names.join(",")),
        Identity::AmbiguousOwners(owners) => format!("owners {}", owners.len()),
        Identity::Unattributed(client) => format!("unattributed {}", client.process.pid),
    };
    assert_eq!(got, want, "{owners:?} {registered:?}");
}

#[test]
fn the_nearest_definition_names_the_agent() {
    check(&[&[10, 1]], &[], "a@10/10");
    check(&[&[50, 51, 10, 1]], &[], "a@10/50");
    check(&[&[50, 20, 51, 10, 1]], &[], "b@20/50");
    check(&[&[50, 10, 30, 1]], &[], "a@10/50");
}

#[test]
fn a_process_that_matches_twice_is_ambiguous() {
    check(&[&[50, 30, 1]], &[], "ambiguous a,b");
    check(&[&[50, 30, 10, 1]], &[], "ambiguous a,b");
    check(&[&[50, 30, 40, 1]], &[40], "ambiguous a,b");
}

#[test]
fn g6_an_orphan_is_unattributed_unless_its_adopter_is_registered() {
    check(&[&[50, 1]], &[], "unattributed 50");
    check(&[&[50, 1]], &[99], "unattributed 50");
    check(&[&[10, 1]], &[], "a@10/10");
    check(&[&[50, 40, 1]], &[40], "-@40!/50");
}

#[test]
fn a_registered_root_decides_the_session() {
    check(&[&[40, 1]], &[40], "-@40!/40");
    check(&[&[50, 10, 40, 1]], &[40], "a@40!/50");
    check(&[&[50, 20, 10, 40, 1]], &[40], "b@40!/50");
    // The nearest registered one, and what lies beyond it does not name the agent.
    check(&[&[50, 40, 10, 41, 1]], &[40, 41], "-@40!/50");
    check(&[&[50, 40, 30, 1]], &[40], "-@40!/50");
}

#[test]
fn g1_twin_an_agent_that_forks_is_one_until_its_child_is_another_program() {
    check(&[&[10, 1], &[11, 10, 1]], &[], "a@10/10");
    check(&[&[50, 10, 1], &[12, 11, 10, 1]], &[], "a@10/12");
    check(&[&[10, 1], &[11, 50, 10, 1]], &[], "owners 2");
    check(&[&[11, 10, 1], &[50, 10, 1]], &[], "a@10/11");
    check(&[&[10, 1], &[20, 10, 1]], &[], "owners 2");
    check(&[&[10, 1], &[11, 1]], &[], "owners 2");
    // A session that was registered is one of its own.
    check(&[&[10, 1], &[11, 10, 1]], &[11], "owners 2");
    check(&[&[10, 40, 1], &[11, 10, 40, 1]], &[40], "a@40!/10");
}

#[test]
fn g1_several_owners_must_be_of_one_session() {
    check(&[&[51, 10, 1], &[50, 10, 1]], &[], "a@10/50");
    check(&[&[50, 10, 1], &[10, 1]], &[], "a@10/10");
    check(&[&[50, 10, 1], &[51, 11, 1]], &[], "owners 2");
    check(&[&[50, 10, 1], &[51, 20, 1]], &[], "owners 2");
    check(&[&[50, 10, 1], &[51, 1]], &[], "owners 2");
    check(&[&[51, 1], &[50, 10, 1]], &[], "owners 2");
    check(&[&[50, 1], &[51, 1]], &[], "owners 2");
    check(&[&[50, 20, 10, 1], &[51, 10, 1]], &[], "owners 2");
    check(&[&[50, 20, 10, 40, 1], &[51, 10, 40, 1]], &[40], "-@40!/50");
    check(&[&[50, 10, 1], &[51, 30, 1]], &[], "ambiguous a,b");
    check(&[&[50, 10, 40, 1], &[51, 10, 1]], &[40], "owners 2");
    check(&[], &[], "owners 0");
}
