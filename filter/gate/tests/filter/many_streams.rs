//! Many streams of one connection that end at one moment: one a call, streams before their connection, and never for
//! long.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::json;
use support::{ca::Profile, world::World};
use svidgate_gate::{
    plugin::{action::Action, connection::ConnectionFilter, plugin::Plugin, request::RequestFilter},
    stage::Stage,
    worker::sweep::ANSWERING,
};

use crate::double::{Proxy, connection, stream};

struct Busy {
    world: World,
    proxy: Proxy,
    roots: [Rc<Plugin<Proxy>>; 2],
    _connections: Vec<Rc<ConnectionFilter<Proxy>>>,
    streams: Vec<Rc<RequestFilter<Proxy>>>,
}

impl Busy {
    /// So many streams on each of so many connections, of an SVID that has just ended.
    fn start(connections: u32, streams: u32) -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        let worker = Rc::default();
        let document =
            world.document(json!([{ "name": "all", "effect": "allow", "from": ["spiffe://prod.example/**"] }]));
        let roots = [Stage::Connection, Stage::Request].map(|stage| proxy.plugin(stage, &document, &worker));
        proxy.connect(&world.own_identity("/api"));
        proxy.ask("GET", "/", &[]);
        let (mut all, mut all_streams) = (Vec::new(), Vec::new());
        for number in 0..connections {
            let context = 10_000 * (number + 1);
            let filter = connection(&roots[0], context);
            filter.on_new_connection();
            assert_eq!(filter.on_downstream_data(1), Action::Continue);
            all.push(filter);
            for more in 0..=streams {
                proxy.change(|state| state.connections.insert(context + more, number.into()));
            }
            for more in 1..=streams {
                let filter = stream(&roots[1], context + more);
                assert_eq!(filter.on_request_headers(), Action::Continue);
                all_streams.push(filter);
            }
        }
        roots[0].tick();
        proxy.change(|state| state.now += SignedDuration::from_hours(2));
        Self {
            world,
            proxy,
            roots,
            _connections: all,
            streams: all_streams,
        }
    }

    /// A stream of a connection of its own, of an SVID that ends in a second.
    fn begin_another(&mut self, context: u32) {
        let peer = self.world.own.issue(Profile {
            not_after: self.proxy.look(|state| state.now) + SignedDuration::from_secs(1),
            ..Profile::svid("spiffe://prod.example/another", self.world.now)
        });
        self.proxy.connect(&peer);
        self.proxy.ask("GET", "/", &[]);
        self.proxy
            .change(|state| state.connections.insert(context, context.into()));
        let filter = stream(&self.roots[1], context);
        assert_eq!(filter.on_request_headers(), Action::Continue);
        self.streams.push(filter);
    }

    /// The next call of the proxy: how many streams were answered and connections closed by now, and when to come
    /// again.
    fn tick(&self) -> (usize, usize, u32) {
        self.roots[0].tick();
        self.proxy
            .look(|state| (state.responses.len(), state.closed.len(), state.tick_period))
    }

    fn pass(&self, span: SignedDuration) {
        self.proxy.change(|state| state.now += span);
    }
}

#[test]
fn each_call_ends_one_stream_of_a_connection_and_its_connection_last() {
    let busy = Busy::start(1, 5);
    let seen: Vec<_> = (0..7).map(|_| busy.tick()).collect();
    let expected = [
        (1, 0, 1),
        (2, 0, 1),
        (3, 0, 1),
        (4, 0, 1),
        (5, 0, 1),
        (5, 1, 1000),
        (5, 1, 1000),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn each_call_ends_one_stream_of_each_connection() {
    let busy = Busy::start(3, 2);
    let seen: Vec<_> = (0..3).map(|_| busy.tick()).collect();
    assert_eq!(seen, [(3, 0, 1), (6, 0, 1), (6, 3, 1000)]);
}

#[test]
fn connection_that_must_go_is_closed_with_all_that_is_left_on_it_before_long() {
    let busy = Busy::start(1, 600);
    for _ in 0..10 {
        busy.tick();
        busy.pass(SignedDuration::from_millis(1));
    }
    assert_eq!(busy.tick(), (11, 0, 1));
    busy.pass(ANSWERING);
    let (answered, closed, _) = busy.tick();
    assert_eq!((answered, closed), (11, 1));
}

#[test]
fn connection_without_a_number_counts_as_one_with_all_others_without() {
    let busy = Busy::start(4, 1);
    busy.proxy.change(|state| state.connections.clear());
    let seen: Vec<_> = (0..3).map(|_| busy.tick()).collect();
    assert_eq!(seen, [(1, 0, 1), (2, 0, 1), (3, 0, 1)]);
}

#[test]
fn stream_of_another_connection_ends_in_time_while_long_queues_wait() {
    const ANOTHER: u32 = 700;
    for connections in [1, 40] {
        let mut busy = Busy::start(connections, 400);
        busy.tick();
        busy.begin_another(ANOTHER);
        busy.pass(SignedDuration::from_secs(2));
        // At the pace of 1 ms: a quarter of a second.
        let ended = (0..250).any(|_| {
            busy.tick();
            busy.proxy.look(|state| state.answered.contains(&ANOTHER))
        });
        assert!(ended, "{connections} connections");
        assert_eq!(busy.tick().2, 1, "others still wait");
    }
}
