//! Before any number: every engine gives the same answers to the same requests.

use engine::{
    Engine,
    casbin::{Casbin, CasbinCached},
    cedar::Cedar,
    rego::{Rego, RegoMachine},
    svidgate::{Svidgate, Unspecialised},
    workload::{Asked, Workload, requests_of_service, routes, usual},
};

fn answers<E: Engine>(workload: &Workload) {
    let mut engine = E::load(&workload.rules);
    // Twice, because what remembers answers must give the same ones.
    for asked in workload.requests.iter().chain(&workload.requests) {
        let prepared = engine.prepare(asked);
        assert_eq!(engine.allows(&prepared), asked.allowed, "{}: {asked:?}", E::NAME);
    }
}

fn all_engines_agree(workload: &Workload) {
    answers::<Svidgate>(workload);
    answers::<Unspecialised>(workload);
    answers::<Cedar>(workload);
    answers::<Rego>(workload);
    answers::<RegoMachine>(workload);
    answers::<Casbin>(workload);
    answers::<CasbinCached>(workload);
}

/// Every id of the rules asks for every path of the rules, with and without something below it, by each method.
fn crossed(workload: Workload, oracle: &impl Fn(&Asked) -> bool) -> Workload {
    let mut ids: Vec<String> = workload.requests.iter().map(|asked| asked.id.clone()).collect();
    ids.extend(
        [
            "spiffe://prod.example/ns/n1/other",
            "spiffe://prod.example/ns/n1/sa/x/y",
        ]
        .map(str::to_owned),
    );
    ids.extend(["spiffe://prod.example/ns/n11/sa/api", "spiffe://prod.example/nobody"].map(str::to_owned));
    ids.sort();
    ids.dedup();
    let mut requests = workload.requests;
    for id in ids {
        for rule in &workload.rules {
            for path in [
                format!("{}/x", rule.below),
                format!("{}x/y", rule.below),
                format!("/other{}/x", rule.below),
            ] {
                for method in ["GET", "POST", "DELETE"] {
                    let mut asked = Asked {
                        id: id.clone(),
                        method,
                        path: path.clone(),
                        allowed: false,
                    };
                    asked.allowed = oracle(&asked);
                    requests.push(asked);
                }
            }
        }
    }
    Workload {
        rules: workload.rules,
        requests,
    }
}

#[test]
fn engines_agree_on_the_usual_rules() {
    for size in [10, 100, 1_000] {
        let mut workload = usual(size);
        workload
            .requests
            .extend((0..size / 10).take(20).flat_map(requests_of_service));
        all_engines_agree(&workload);
    }
}

#[test]
fn engines_agree_on_many_routes() {
    for size in [10, 1_000] {
        all_engines_agree(&routes(size));
    }
}

#[test]
fn engines_agree_on_requests_that_the_rules_nearly_match() {
    let workload = usual(30);
    let cedar = std::cell::RefCell::new(Cedar::load(&workload.rules));
    let oracle = |asked: &Asked| {
        let prepared = cedar.borrow().prepare(asked);
        cedar.borrow_mut().allows(&prepared)
    };
    let crossed = crossed(workload, &oracle);
    assert!(crossed.requests.iter().any(|asked| asked.allowed));
    // Ids below a namespace are its members because something says so. Of ids that no rule names, Casbin is told
    // nothing.
    let told = Workload {
        requests: crossed
            .requests
            .iter()
            .filter(|asked| asked.id.ends_with("/sa/api"))
            .cloned()
            .collect(),
        ..crossed.clone()
    };
    answers::<Svidgate>(&crossed);
    answers::<Rego>(&crossed);
    answers::<RegoMachine>(&crossed);
    answers::<Casbin>(&told);
    answers::<CasbinCached>(&told);
}
