//! `make compose-test`: requests between two trust domains, each host a container (see `envoy/compose`). Every
//! statement is about what a client was answered, what a log says, or what an upstream saw.

mod engine;
mod harness;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    thread,
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use support::ca::{Authority, Leaf};

use harness::{Harness, SIDES, Side};

/// One run of the harness serves them all, in order: a rotation leaves its authorities to what comes after.
type Scenario = fn(&Harness, &mut [Authority; 2]);

fn main() -> ExitCode {
    let start = Instant::now();
    engine::unwind_on_signals();
    // A failed assertion unwinds; the harness goes down either way.
    let passed = catch_unwind(AssertUnwindSafe(suite)).is_ok();
    let said = if passed { "all as expected" } else { "FAILED" };
    println!(
        "{:6.1} s  {said}, and everything is down",
        start.elapsed().as_secs_f32()
    );
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn suite() {
    let start = Instant::now();
    let say = |what: &str| println!("{:6.1} s  {what}", start.elapsed().as_secs_f32());
    let mut authorities = SIDES.map(|side| side.authority());
    let harness = Harness::start(&authorities);
    say("two trust domains are up, six hosts each");
    let scenarios: [(&str, Scenario); 8] = [
        ("sidecar to sidecar, both ways", sidecar_to_sidecar),
        ("clients reach nothing but their own sidecar", clients_are_confined),
        ("gateways that end TLS between client and workload", gateways_terminate),
        (
            "a caller whom the gateway lets in and may not bring",
            gateway_brings_whom_it_may,
        ),
        (
            "a bundle endpoint cut off from the network, and back",
            endpoint_is_cut_off,
        ),
        ("hosts killed and started again", hosts_are_killed),
        ("a rotation, with clocks four minutes apart", rotation),
        (
            "SVIDs that begin too late or end too early for the other side",
            clocks_disagree,
        ),
    ];
    for (name, scenario) in scenarios {
        scenario(&harness, &mut authorities);
        say(name);
    }
}

fn other(side: &Side) -> &'static Side {
    &SIDES[usize::from(side.name == SIDES[0].name)]
}

/// Whether the upstream of a side has seen a request for this path, by the time that it sees a later one.
fn upstream_saw(harness: &Harness, side: &Side, path: &str) -> bool {
    let log = side.log("app/requests");
    let marker = format!("/invoices/after-{}", harness.lines(&log).len());
    harness.wait_answer(other(side), &marker, "200");
    harness.wait_line(&log, &[("/path", &marker)]);
    harness.lines(&log).iter().any(|line| line["path"] == path)
}

fn sidecar_to_sidecar(harness: &Harness, _: &mut [Authority; 2]) {
    for from in &SIDES {
        let to = other(from);
        harness.wait_answer(from, "/invoices/7", "200");
        let id = from.id("/ns/billing/sa/api");
        harness.wait_line(&to.log("app/requests"), &[("/path", "/invoices/7"), ("/id/0", &id)]);
        let allowed = [
            ("/path", "/invoices/7"),
            ("/svidgate/reason", "rule.allowed"),
            ("/svidgate/id", &id),
        ];
        let line = harness.wait_line(&to.log("sidecar/requests"), &allowed);
        // The clocks are what they are meant to be.
        let told: Timestamp = line["time"]
            .as_str()
            .and_then(|time| time.parse().ok())
            .expect("a time");
        let passed = to.now().duration_since(told);
        let minute = SignedDuration::from_mins(1);
        assert!(passed.abs() < minute, "{told} on the side of {}", to.name);

        assert_eq!(harness.client(from).get("/admin"), "403");
        let denied = [("/path", "/admin"), ("/svidgate/reason", "rule.none_matched")];
        harness.wait_line(&to.log("sidecar/requests"), &denied);
        assert!(!upstream_saw(harness, to, "/admin"));
    }
}

/// By address: a name that means nothing on a network keeps nobody out. Whom a client does not reach, others do.
fn clients_are_confined(harness: &Harness, _: &mut [Authority; 2]) {
    let mut places = Vec::new();
    for side in &SIDES {
        for (kind, ports) in [
            ("app", &[8080][..]),
            ("sidecar", &[8080, 8443]),
            ("gateway", &[8443, 9443]),
            ("bundles", &[8443]),
        ] {
            let host = side.host(kind);
            for (network, address) in harness.addresses(&host) {
                let at = |port: &u16| (host.clone(), network.clone(), format!("{address}:{port}"));
                places.extend(ports.iter().map(at));
            }
        }
    }
    let all: Vec<&str> = places.iter().map(|(_, _, place)| &**place).collect();
    let hosts = SIDES.map(|side| ["client", "sidecar", "gateway"].map(|kind| side.host(kind)));
    let reached: Vec<Vec<String>> = thread::scope(|threads| {
        let attempts = hosts
            .as_flattened()
            .iter()
            .map(|host| threads.spawn(|| harness.reached(host, &all)));
        let attempts: Vec<_> = attempts.collect();
        let reached = attempts.into_iter().map(|attempt| attempt.join());
        reached.map(|places| places.expect("a host is asked")).collect()
    });
    for (host, reached) in hosts.as_flattened().iter().zip(&reached).step_by(hosts[0].len()) {
        // The network between a client and its sidecar has the client's name.
        let own = places.iter().filter(|(_, network, _)| network == host);
        let own: Vec<&str> = own.map(|(_, _, place)| &**place).collect();
        assert!(
            own.len() == 2 && *reached == own,
            "{host} reached {reached:?} of {places:?}"
        );
    }
    let is_reached = |place: &&str| reached.iter().flatten().any(|reached| reached == place);
    assert!(all.iter().all(is_reached), "{reached:?} of {places:?}");
}

fn gateways_terminate(harness: &Harness, _: &mut [Authority; 2]) {
    for from in &SIDES {
        let to = other(from);
        harness.wait_answer(from, "/terminated/7", "200");
        // The client acts, at both; to the workload it comes by the gateway.
        let (client, gateway) = (from.id("/ns/billing/sa/api"), to.id("/gateway"));
        harness.wait_line(
            &to.log("gateway/requests"),
            &[("/path", "/terminated/7"), ("/svidgate/id", &client)],
        );
        let brought = [
            ("/path", "/terminated/7"),
            ("/svidgate/id", &client),
            ("/svidgate/via", &gateway),
            ("/svidgate/evidence", "certificate"),
        ];
        harness.wait_line(&to.log("sidecar/requests"), &brought);
        let told = [("/path", "/terminated/7"), ("/id/0", &client), ("/via/0", &gateway)];
        harness.wait_line(&to.log("app/requests"), &told);
        // The sidecar would let this pass from a gateway, if the gateway did.
        assert_eq!(harness.client(from).get("/terminated/closed/7"), "403");
        let denied = [("/path", "/terminated/closed/7"), ("/svidgate/reason", "rule.denied")];
        harness.wait_line(&to.log("gateway/requests"), &denied);
        assert!(!upstream_saw(harness, to, "/terminated/closed/7"));
    }
}

/// What the gateway lets in is one thing; whom the workload takes from it is the workload's to say.
fn gateway_brings_whom_it_may(harness: &Harness, authorities: &mut [Authority; 2]) {
    for (from, authority) in SIDES.iter().zip(authorities) {
        let to = other(from);
        let path = "/terminated/batch";
        harness.present(from, "sidecar", &from.svid(authority, "/ns/billing/sa/batch"));
        harness.wait_answer(from, path, "403");
        let id = from.id("/ns/billing/sa/batch");
        let let_in = [
            ("/path", path),
            ("/svidgate/id", &*id),
            ("/svidgate/reason", "rule.allowed"),
        ];
        harness.wait_line(&to.log("gateway/requests"), &let_in);
        let refused = [
            ("/path", path),
            ("/svidgate/id", &*id),
            ("/svidgate/reason", "assertion.not_allowed"),
        ];
        harness.wait_line(&to.log("sidecar/requests"), &refused);
        // With no gateway in between it is a caller like others.
        harness.wait_answer(from, "/invoices/batch", "200");
        harness.present(from, "sidecar", &from.svid(authority, "/ns/billing/sa/api"));
        harness.wait_answer(from, "/terminated/again", "200");
    }
}

fn endpoint_is_cut_off(harness: &Harness, _: &mut [Authority; 2]) {
    let [to, from] = &SIDES;
    harness.wait_answer(from, "/terminated/before", "200");
    harness.cut_off("partner-bundles");
    // The last good bundle counts for 15 s.
    assert_eq!(harness.client(from).get("/terminated/soon-after"), "200");
    harness.wait_refusal(
        from,
        "/terminated/stale",
        &to.log("gateway/connections"),
        "federation.bundle_stale",
    );
    assert_eq!(harness.client(from).get("/terminated/refused"), "503");
    assert!(!upstream_saw(harness, to, "/terminated/refused"));
    // The sidecars have theirs from the agents, which are still there.
    assert_eq!(harness.client(from).get("/invoices/meanwhile"), "200");
    harness.join("partner-bundles");
    harness.wait_answer(from, "/terminated/back", "200");
    harness.wait_line(&to.log("app/requests"), &[("/path", "/terminated/back")]);
}

fn hosts_are_killed(harness: &Harness, _: &mut [Authority; 2]) {
    let [to, from] = &SIDES;
    for (kind, path) in [
        ("sidecar", "/invoices/new-sidecar"),
        ("gateway", "/terminated/new-gateway"),
    ] {
        harness.kill(&to.host(kind));
        harness.wait_answer(from, path, "503");
        harness.start_again(&to.host(kind));
        harness.wait_answer(from, path, "200");
        // It begins with nothing, and has its bundles and rules again.
        harness.wait_line(
            &to.log(&format!("{kind}/requests")),
            &[("/path", path), ("/svidgate/reason", "rule.allowed")],
        );
        assert_eq!(harness.client(from).get("/admin"), "403");
    }
    // What an agent said last goes on to count. Whether the new one is heard, the rotation shows.
    harness.kill(&to.host("agent"));
    assert_eq!(harness.client(from).get("/invoices/no-agent"), "200");
    harness.start_again(&to.host("agent"));
}

/// The partner rotates: both authorities, then new SVIDs, then only the new authority. Not one request is lost on the
/// way.
fn rotation(harness: &Harness, authorities: &mut [Authority; 2]) {
    let [to, from] = &SIDES;
    let (old, next) = (authorities[1].clone(), from.authority());
    let steady = [
        (from, "/invoices/steady"),
        (from, "/terminated/steady"),
        (to, "/terminated/steady"),
    ]
    .map(|(side, path)| harness.client(side).steadily(path));

    harness.wait_taken(&harness.publish(from, &[&old, &next]));
    harness.present(from, "sidecar", &from.svid(&next, "/ns/billing/sa/next"));
    harness.present(from, "gateway", &from.svid(&next, "/gateway"));
    // Seen by the workload, and by the gateway in front of it.
    let id = from.id("/ns/billing/sa/next");
    harness.wait_line(&to.log("app/requests"), &[("/id/0", &id)]);
    harness.wait_line(&to.log("gateway/requests"), &[("/svidgate/id", &id)]);
    harness.wait_taken(&harness.publish(from, &[&next]));
    for answers in steady.map(|steady| steady.end()) {
        assert!(
            answers.len() > 5 && answers.iter().all(|answer| answer == "200"),
            "{answers:?}"
        );
    }

    // Two authorities of one name, as they often are: the name is still known, the key is not.
    harness.present(from, "sidecar", &from.svid(&old, "/ns/billing/sa/old"));
    for (path, log) in [
        ("/invoices/old", "sidecar/connections"),
        ("/terminated/old", "gateway/connections"),
    ] {
        harness.wait_refusal(from, path, &to.log(log), "svid.bad_signature");
    }
    harness.present(from, "sidecar", &from.svid(&next, "/ns/billing/sa/api"));
    harness.wait_answer(from, "/invoices/rotated", "200");
    assert!(!upstream_saw(harness, to, "/invoices/old"));
    authorities[1] = next;
}

fn clocks_disagree(harness: &Harness, authorities: &mut [Authority; 2]) {
    let [slow, fast] = &SIDES;
    let minutes = SignedDuration::from_mins;
    // It has begun three minutes ago where it was issued. Across, and only there, it begins in a minute.
    let early = Leaf {
        not_before: fast.now() - minutes(3),
        ..fast.profile("/ns/billing/sa/early")
    };
    // It has three minutes left where it was issued. Across, and only there, it has ended a minute ago.
    let late = Leaf {
        not_after: slow.now() + minutes(3),
        ..slow.profile("/ns/billing/sa/late")
    };
    for (from, authority, leaf, reason) in [
        (fast, &authorities[1], early, "svid.not_yet_valid"),
        (slow, &authorities[0], late, "svid.expired"),
    ] {
        let to = other(from);
        harness.present(from, "sidecar", &authority.issue(leaf));
        for (path, log) in [
            ("/invoices/skewed", "sidecar/connections"),
            ("/terminated/skewed", "gateway/connections"),
        ] {
            harness.wait_refusal(from, path, &to.log(log), reason);
        }
        harness.present(from, "sidecar", &from.svid(authority, "/ns/billing/sa/api"));
        harness.wait_answer(from, "/invoices/in-time", "200");
    }
}
