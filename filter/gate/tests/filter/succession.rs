//! Which documents judge: that of the own plugin and the newest under its name, whatever comes and goes, in whichever
//! VM.

use std::rc::Rc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use support::world::{World, with};
use svidgate_gate::{
    plugin::{action::Action, connection::ConnectionFilter, plugin, request::RequestFilter},
    stage::Stage,
    worker::{lineage::MAY_BE_BEHIND, worker::Worker},
};

use crate::double::{Proxy, accept, connection, stream};

/// One VM: its plugins share a worker.
type Vm = Rc<Worker>;
type Plugin = Rc<plugin::Plugin<Proxy>>;

struct Setting {
    world: World,
    proxy: Proxy,
}

impl Setting {
    fn new() -> Self {
        let world = World::new();
        let proxy = Proxy::at(&world);
        Self { world, proxy }
    }

    /// A document under which `/api` may use these paths.
    fn document(&self, version: &str, paths: &[&str]) -> Value {
        let rules = json!([
            { "name": "api", "effect": "allow", "from": ["spiffe://prod.example/api"], "to": [{ "paths": paths }] },
            { "name": "other", "effect": "allow", "from": ["spiffe://prod.example/other"] },
        ]);
        with(self.world.document(rules), json!({ "version": version }))
    }

    fn plugin(&self, vm: &Vm, stage: Stage, version: &str, paths: &[&str]) -> Plugin {
        self.proxy.plugin(stage, &self.document(version, paths), vm)
    }

    /// The HTTP filter.
    fn requests(&self, vm: &Vm, version: &str, paths: &[&str]) -> Plugin {
        self.plugin(vm, Stage::Request, version, paths)
    }

    fn open(&self, plugin: &Plugin, context: u32, path: &str) -> (Rc<RequestFilter<Proxy>>, String) {
        self.proxy.connect(&self.world.own_identity("/api"));
        self.proxy
            .change(|state| state.connections.insert(context, context.into()));
        self.proxy.ask("GET", path, &[]);
        let filter = stream(plugin, context);
        let action = filter.on_request_headers();
        let reason = self.proxy.reason();
        assert_eq!(action == Action::Continue, reason == "rule.allowed", "{reason}");
        (filter, reason)
    }

    /// What a request is answered, which then ends.
    fn asks(&self, plugin: &Plugin, path: &str) -> String {
        let (filter, reason) = self.open(plugin, 9_000, path);
        filter.on_close();
        reason
    }

    fn connect(&self, plugin: &Plugin, context: u32) -> Rc<ConnectionFilter<Proxy>> {
        self.proxy.connect(&self.world.own_identity("/api"));
        self.proxy
            .change(|state| state.connections.insert(context, context.into()));
        let filter = connection(plugin, context);
        assert_eq!(accept(&self.proxy, &filter), Action::Pause);
        filter
    }

    fn pass(&self, plugins: &[&Plugin], seconds: i64) {
        self.proxy
            .change(|state| state.now += SignedDuration::from_secs(seconds));
        for plugin in plugins.iter().cycle().take(3 * plugins.len()) {
            plugin.tick();
        }
    }

    fn answered(&self) -> usize {
        self.proxy.look(|state| state.responses.len())
    }

    fn closed(&self) -> Vec<u32> {
        self.proxy.look(|state| state.closed.clone())
    }
}

const DENIED: &str = "rule.none_matched";
const ALLOWED: &str = "rule.allowed";
const BEHIND: &str = "configuration.behind";

#[test]
fn old_plugin_is_judged_by_every_later_document_though_it_never_served() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let first = setting.requests(&vm, "1", &["/a", "/b"]);
    let _second = setting.requests(&vm, "2", &["/a"]);
    assert_eq!(setting.asks(&first, "/b"), DENIED);
    assert_eq!(setting.asks(&first, "/a"), ALLOWED);
    let (_under_way, reason) = setting.open(&first, 20, "/a");
    assert_eq!(reason, ALLOWED);
    let third = setting.requests(&vm, "3", &["/b"]);
    setting.pass(&[&first, &third], 1);
    assert_eq!(setting.answered(), 2, "the download that 3 forbids has ended");
    assert_eq!(setting.asks(&third, "/b"), ALLOWED);
    assert_eq!(setting.asks(&first, "/b"), ALLOWED);
    let _fourth = setting.requests(&vm, "4", &["/a"]);
    assert_eq!(setting.asks(&first, "/b"), DENIED);
    assert_eq!(setting.asks(&third, "/b"), DENIED);
}

/// A connection that was in its handshake when the update came begins under the old plugin long after it.
#[test]
fn connection_that_begins_late_under_an_old_document_parts_nothing() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let first = setting.plugin(&vm, Stage::Connection, "1", &["/a"]);
    let other = setting.connect(&first, 10);
    assert_eq!(other.on_downstream_data(1), Action::Continue);
    let nobody = with(
        setting.document("2", &[]),
        json!({ "rules": [
        { "name": "other", "effect": "allow", "from": ["spiffe://prod.example/other"] },
    ] }),
    );
    let second = setting.proxy.plugin(Stage::Connection, &nobody, &vm);
    setting.pass(&[&first, &second], 7);
    assert_eq!(setting.closed(), [10]);
    let late = setting.connect(&first, 11);
    assert_eq!(late.on_downstream_data(1), Action::Pause);
    assert_eq!(setting.proxy.reason(), DENIED);
    // And whoever is there is still cut by what comes next.
    let third = setting.plugin(&vm, Stage::Connection, "3", &["/a"]);
    let allowed = setting.connect(&third, 12);
    assert_eq!(allowed.on_downstream_data(1), Action::Continue);
    let _fourth = setting
        .proxy
        .plugin(Stage::Connection, &with(nobody, json!({ "version": "4" })), &vm);
    setting.pass(&[&first, &second], 1);
    assert_eq!(setting.closed().last(), Some(&12));
}

#[test]
fn two_listeners_of_one_name_are_judged_by_both_documents_and_a_line_says_so() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let first = setting.plugin(&vm, Stage::Connection, "1", &["/a"]);
    let second = setting.plugin(&vm, Stage::Connection, "2", &["/a"]);
    let line = "a connection begins under a document although a newer one is configured under the same plugin `name`";
    let said = || {
        setting
            .proxy
            .look(|state| state.log.iter().filter(|known| known.contains(line)).count())
    };
    setting.connect(&second, 10);
    assert_eq!(said(), 0, "an ordinary update says nothing");
    setting.connect(&first, 11);
    setting.connect(&first, 12);
    assert_eq!(said(), 1);
}

#[test]
fn update_that_the_proxy_refuses_leaves_nothing() {
    for (path, paths) in [("/b", &["/a"][..]), ("/a", &["/a", "/b", "/c"])] {
        let (setting, vm) = (Setting::new(), Vm::default());
        let first = setting.requests(&vm, "1", &["/a", "/b"]);
        setting.pass(&[&first], 1);
        let refused = setting.requests(&vm, "2", paths);
        assert_eq!(setting.asks(&first, "/c"), DENIED, "what only the refused one allows");
        refused.leave();
        let (_stream, reason) = setting.open(&first, 20, path);
        assert_eq!(reason, ALLOWED);
        setting.pass(&[&first], 5);
        assert_eq!(setting.asks(&first, path), ALLOWED);
        assert_eq!(setting.answered(), 1, "nothing was cut");
    }
}

/// A looser document, which the proxy then refuses, must not keep what the one in force ends.
#[test]
fn looser_document_keeps_nothing_that_the_own_one_has_ended() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let ends = (setting.world.now + SignedDuration::from_secs(10)).to_string();
    let mut document = setting.document("1", &["/a"]);
    document["rules"][0]["expires"] = json!(ends);
    let first = setting.proxy.plugin(Stage::Request, &document, &vm);
    let (_stream, reason) = setting.open(&first, 20, "/a");
    assert_eq!(reason, ALLOWED);
    let looser = setting.requests(&vm, "2", &["/**"]);
    setting.pass(&[&first, &looser], 11);
    assert_eq!(setting.answered(), 1);
}

#[test]
fn document_of_a_listener_that_is_gone_binds_what_is_older_and_nobody_else() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let stays = setting.plugin(&vm, Stage::Connection, "1", &["/a"]);
    let older = setting.connect(&stays, 10);
    assert_eq!(older.on_downstream_data(1), Action::Continue);
    let ends = (setting.world.now + SignedDuration::from_secs(100)).to_string();
    let mut document = setting.document("2", &["/a"]);
    document["rules"][0]["expires"] = json!(ends);
    let goes = setting.proxy.plugin(Stage::Connection, &document, &vm);
    let its_own = setting.connect(&goes, 11);
    assert_eq!(its_own.on_downstream_data(1), Action::Continue);
    setting.pass(&[&stays, &goes], 1);
    its_own.on_close();
    goes.leave();
    let newer = setting.connect(&stays, 12);
    assert_eq!(newer.on_downstream_data(1), Action::Continue);
    setting.pass(&[&stays], 1);
    assert_eq!(setting.closed(), [0; 0]);
    setting.pass(&[&stays], 100);
    assert_eq!(
        setting.closed(),
        [10],
        "it never falls back to the older document alone"
    );
}

#[test]
fn vm_that_was_made_anew_denies_until_it_has_the_newest_document_and_changes_nothing_for_others() {
    let (setting, vm, other) = (Setting::new(), Vm::default(), Vm::default());
    let [first, elsewhere] = [&vm, &other].map(|vm| setting.requests(vm, "1", &["/**"]));
    setting.pass(&[&first, &elsewhere], 1);
    let [second, newest] = [&vm, &other].map(|vm| setting.requests(vm, "2", &["/a"]));
    setting.pass(&[&second, &newest], 1);
    // The first VM traps: nobody is told. A request of the listener that drains makes it anew.
    let anew = Vm::default();
    let first = setting.requests(&anew, "1", &["/**"]);
    assert_eq!(setting.asks(&first, "/a"), BEHIND);
    setting.pass(&[&first, &newest], 1);
    assert_eq!(setting.asks(&first, "/b"), BEHIND);
    assert_eq!(
        setting.asks(&newest, "/b"),
        DENIED,
        "nothing has changed for the others"
    );
    let second = setting.requests(&anew, "2", &["/a"]);
    for plugin in [&first, &second] {
        assert_eq!(setting.asks(plugin, "/a"), ALLOWED);
        assert_eq!(setting.asks(plugin, "/b"), DENIED);
    }
    // The other way round: the newest comes first, the old one on top of it.
    let anew = Vm::default();
    let second = setting.requests(&anew, "2", &["/a"]);
    let first = setting.requests(&anew, "1", &["/**"]);
    setting.pass(&[&first, &second, &newest], 1);
    for plugin in [&first, &second, &newest] {
        assert_eq!(setting.asks(plugin, "/a"), ALLOWED);
        assert_eq!(setting.asks(plugin, "/b"), DENIED);
    }
}

#[test]
fn trial_of_a_configuration_tells_nobody() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let first = setting.requests(&vm, "1", &["/a"]);
    setting.pass(&[&first], 1);
    // It is configured in a VM of its own, which goes without having ticked.
    let trial = setting.requests(&Vm::default(), "2", &["/b"]);
    trial.leave();
    setting.pass(&[&first], 10);
    assert_eq!(setting.asks(&first, "/a"), ALLOWED);
}

#[test]
fn document_that_comes_back_without_a_word_is_learnt_of_by_the_note_of_another_thread() {
    let (setting, vm, main) = (Setting::new(), Vm::default(), Vm::default());
    let [first, of_main] = [&vm, &main].map(|vm| setting.requests(vm, "1", &["/**"]));
    let (_keeps_the_plugin, _) = setting.open(&first, 20, "/a");
    setting.pass(&[&first, &of_main], 1);
    let [second, second_of_main] = [&vm, &main].map(|vm| setting.requests(vm, "2", &["/a"]));
    of_main.leave();
    setting.pass(&[&second, &second_of_main], 1);
    assert_eq!(setting.asks(&first, "/b"), DENIED);
    // Back to the first: the main thread, where nothing of it was left, is configured anew; the worker is told nothing.
    let again = setting.requests(&main, "1", &["/**"]);
    second_of_main.leave();
    setting.pass(&[&again, &first], 1);
    assert_eq!(setting.asks(&first, "/b"), ALLOWED);
    assert_eq!(setting.asks(&second, "/b"), DENIED, "its own document still counts");
}

#[test]
fn worker_that_is_late_goes_on_for_a_while_and_then_denies() {
    let (setting, vm, late) = (Setting::new(), Vm::default(), Vm::default());
    let [first, behind] = [&vm, &late].map(|vm| setting.requests(vm, "1", &["/**"]));
    setting.pass(&[&first, &behind], 1);
    let second = setting.requests(&vm, "2", &["/a"]);
    setting.pass(&[&second, &behind], 1);
    assert_eq!(setting.asks(&behind, "/b"), ALLOWED);
    setting.pass(&[&second, &behind], MAY_BE_BEHIND.as_secs());
    assert_eq!(setting.asks(&behind, "/b"), BEHIND);
    let caught_up = setting.requests(&late, "2", &["/a"]);
    assert_eq!(setting.asks(&behind, "/a"), ALLOWED);
    assert_eq!(setting.asks(&caught_up, "/b"), DENIED);
}

/// One thread has gone back already when another is still given the document in between.
#[test]
fn document_that_others_have_gone_back_from_is_not_taken_up_by_one_who_is_late() {
    let (setting, vm, late) = (Setting::new(), Vm::default(), Vm::default());
    let [first, behind] = [&vm, &late].map(|vm| setting.requests(vm, "1", &["/**"]));
    setting.pass(&[&first, &behind], 1);
    let second = setting.requests(&vm, "2", &["/a"]);
    setting.pass(&[&second], 1);
    first.leave();
    let again = setting.requests(&vm, "1", &["/**"]);
    setting.pass(&[&again], 1);
    let _late_second = setting.requests(&late, "2", &["/a"]);
    setting.pass(&[&behind, &again], 1);
    for plugin in [&behind, &again] {
        assert_eq!(setting.asks(plugin, "/b"), ALLOWED);
    }
}

#[test]
fn listener_that_is_gone_for_good_binds_nobody_who_comes_later() {
    let (setting, vm) = (Setting::new(), Vm::default());
    let first = setting.requests(&vm, "1", &["/**"]);
    setting.pass(&[&first], 1);
    let second = setting.requests(&vm, "2", &["/a"]);
    setting.pass(&[&second], 1);
    first.leave();
    second.leave();
    let back = setting.requests(&Vm::default(), "1", &["/**"]);
    assert_eq!(setting.asks(&back, "/b"), ALLOWED);
}
