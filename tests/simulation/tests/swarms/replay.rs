//! The inputs of a real browser's engine, given to the core again.

use piecework_simulation::replay;

const RECORDING: &str = include_str!("../../traces/free_download.jsonl");

#[test]
fn a_recorded_browser_download_replays_to_the_same_effects_events_and_bytes() {
    let done = replay(RECORDING).unwrap_or_else(|difference| {
        panic!(
            "the core does something else than when this was recorded; if that is meant, record anew: \
             cargo xtask trace\n{difference}"
        )
    });
    // A whole download is in it.
    assert!(done.received > 100_000 && done.sent > 250, "{done:?}");
    assert!(done.inputs > 30 && done.outputs > 30, "{done:?}");
    assert!(RECORDING.contains("Event(Complete"));
}

#[test]
fn a_recording_that_was_changed_does_not_replay() {
    // The longest input, which is blocks: one of its bytes is another.
    let longest = RECORDING
        .lines()
        .max_by_key(|line| line.len())
        .expect("lines");
    assert!(longest.contains("\"received\""));
    let middle = longest.len() / 2;
    let changed = format!(
        "{}{}{}",
        &longest[..middle],
        if &longest[middle..=middle] == "0" {
            "1"
        } else {
            "0"
        },
        &longest[middle + 1..]
    );
    let recording = RECORDING.replace(longest, &changed);
    let difference = replay(&recording).expect_err("a changed block is noticed");
    assert!(difference.contains("after line"), "{difference}");
}
