//! The learning rates and the choice of decaying tensors of a reference training.

use longstrand_pretrain::{
    optimizer::decays,
    schedule::{FirstStep, Form, Schedule, Warmup},
};
use longstrand_tests::fixture::{self, Expected};

#[test]
fn rates_are_those_of_the_reference_run() {
    let case = fixture::root().join("train-hf-mamba");
    let (expected, _) = Expected::read(&case).require("lr");
    let schedule = Schedule {
        warmup: Warmup { start: 0.0, steps: 4, first: FirstStep::OneIncrement },
        peak: 3e-3,
        form: Form::Cosine { steps: 20, last: 3e-4 },
    };
    assert_eq!(expected.len(), 20);
    for (step, expected) in (0..).zip(expected) {
        let found = schedule.rate(step);
        assert!((found - expected).abs() < 1e-17, "step {step}: {found} {expected}");
    }
}

#[test]
fn the_reference_run_spares_the_same_tensors() {
    let case = fixture::root().join("train-hf-mamba");
    let facts = fixture::read_json(&case.join("tolerance.json")).expect("tolerance.json");
    let expected = Expected::read(&case);
    let names = |key: &str| -> Vec<String> {
        let list = facts[key].as_array().expect("a list of names");
        list.iter().map(|name| name.as_str().expect("a name").to_string()).collect()
    };
    for (key, is_decaying) in [("decay_params", true), ("no_decay_params", false)] {
        for name in names(key) {
            let (_, shape) = expected.require(&format!("final.{name}"));
            assert_eq!(decays(&name, &shape), is_decaying, "{name}");
        }
    }
}
