//! A proxy around the module that ships: the module runs as a proxy loads it, in an interpreter, and is asked about one
//! request. The proxy-wasm ABI 0.2.1, as far as that goes.

use wasmi::{
    Caller, Config, Engine, ExternType, Instance, Linker, Memory, Module, Store, Val, WasmParams, WasmResults,
};

/// Statuses, of the proxy and of an operating system: done; and not found, or an error.
const DONE: i32 = 0;
const REFUSED: i32 = 1;
/// Buffers and maps, as the ABI numbers them.
const PLUGIN_CONFIGURATION: u32 = 7;
const REQUEST_HEADERS: u32 = 0;
/// Numbers of the two contexts.
const PLUGIN: u32 = 1;
const STREAM: u32 = 2;
/// More steps than any row needs, so that no row runs for ever.
const FUEL: u64 = 20_000_000_000;

/// What the proxy knows when the request comes.
pub(crate) struct Scene {
    /// The configuration of the plugin.
    pub(crate) document: Vec<u8>,
    /// Nanoseconds since 1970.
    pub(crate) now: u64,
    /// By path, its parts joined by a NUL.
    pub(crate) properties: Vec<(&'static str, Vec<u8>)>,
    /// Request headers.
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
}

/// What came of it.
pub(crate) enum Outcome {
    /// The document was not taken; why, in the words of the log.
    NoConfiguration(String),
    /// The request goes on.
    Passed,
    /// It was answered here; the details of the answer.
    Answered(String),
}

/// The module, ready to be loaded.
pub(crate) struct Vm {
    engine: Engine,
    module: Module,
    linker: Linker<Host>,
}

struct Host {
    scene: Scene,
    log: Vec<String>,
    details: Option<String>,
}

type Failure = wasmi::Error;

impl Vm {
    /// Reads the module.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(wasm: &[u8]) -> Result<Self, Failure> {
        let mut config = Config::default();
        config.consume_fuel(true);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, wasm)?;
        let linker = linker(&engine, &module)?;
        Ok(Self { engine, module, linker })
    }

    /// Loads the module anew, gives it the document, and asks it about a request.
    ///
    /// # Errors
    /// When the module does not come to an answer.
    pub(crate) fn ask(&self, scene: Scene) -> Result<Outcome, Failure> {
        let size = as_u32(scene.document.len());
        let headers = as_u32(scene.headers.len());
        let host = Host {
            scene,
            log: Vec::new(),
            details: None,
        };
        let mut store = Store::new(&self.engine, host);
        store.set_fuel(FUEL)?;
        let instance = self.linker.instantiate_and_start(&mut store, &self.module)?;
        call::<(), ()>(&instance, &mut store, "_initialize", ())?;
        call::<(u32, u32), ()>(&instance, &mut store, "proxy_on_context_create", (PLUGIN, 0))?;
        if call::<(u32, u32), u32>(&instance, &mut store, "proxy_on_configure", (PLUGIN, size))? == 0 {
            return Ok(Outcome::NoConfiguration(store.data().log.join("\n")));
        }
        call::<(u32, u32), ()>(&instance, &mut store, "proxy_on_context_create", (STREAM, PLUGIN))?;
        let action: u32 = call(&instance, &mut store, "proxy_on_request_headers", (STREAM, headers, 1))?;
        match (action, store.into_data().details) {
            (0, None) => Ok(Outcome::Passed),
            (1, Some(details)) => Ok(Outcome::Answered(details)),
            (action, details) => Err(Failure::new(format!("action {action} with answer {details:?}"))),
        }
    }
}

fn call<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Host>,
    name: &str,
    arguments: P,
) -> Result<R, Failure> {
    instance.get_typed_func::<P, R>(&*store, name)?.call(store, arguments)
}

/// Everything that the module imports. What is only told to the proxy is done; what stands in [`ANSWERED`] has an
/// answer; what else is asked is not to be had: nothing is shared, nobody else checks signatures, nothing is fetched.
fn linker(engine: &Engine, module: &Module) -> Result<Linker<Host>, Failure> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        "env",
        "proxy_log",
        |mut caller: Caller<'_, Host>, _: u32, at: u32, size: u32| {
            let line = read(&caller, at, size)?;
            caller.data_mut().log.push(line);
            Ok(DONE)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut caller: Caller<'_, Host>, to: u32| {
            let now = caller.data().scene.now;
            write(&mut caller, to, &now.to_le_bytes())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut caller: Caller<'_, Host>, buffer: u32, _: u32, _: u32, data: u32, size: u32| {
            let document = (buffer == PLUGIN_CONFIGURATION).then(|| caller.data().scene.document.clone());
            hand_over(&mut caller, document, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut caller: Caller<'_, Host>, map: u32, data: u32, size: u32| {
            let pairs = (map == REQUEST_HEADERS).then(|| pairs(&caller.data().scene.headers));
            hand_over(&mut caller, pairs, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut caller: Caller<'_, Host>, path: u32, path_size: u32, data: u32, size: u32| {
            let path = read(&caller, path, path_size)?;
            let known = &caller.data().scene.properties;
            let value = known.iter().find(|(name, _)| *name == path);
            let value = value.map(|(_, value)| value.clone());
            hand_over(&mut caller, value, data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut caller: Caller<'_, Host>,
         _: u32,
         details: u32,
         details_size: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: i32| {
            let details = read(&caller, details, details_size)?;
            caller.data_mut().details = Some(details);
            Ok(DONE)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut caller: Caller<'_, Host>, _: u32, _: u32, _: u32, to: u32| write(&mut caller, to, &1u32.to_le_bytes()),
    )?;
    // The same hashes in every run. There is no variable either.
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "random_get",
        |mut caller: Caller<'_, Host>, to: u32, size: u32| write(&mut caller, to, &vec![0; as_usize(size)]),
    )?;
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "environ_sizes_get",
        |mut caller: Caller<'_, Host>, count: u32, size: u32| {
            write(&mut caller, count, &[0; 4])?;
            write(&mut caller, size, &[0; 4])
        },
    )?;
    for import in module.imports().filter(|import| !ANSWERED.contains(&import.name())) {
        let ExternType::Func(kind) = import.ty() else { continue };
        let status = if TOLD.contains(&import.name()) { DONE } else { REFUSED };
        linker.func_new(import.module(), import.name(), kind.clone(), move |_, _, results| {
            results.iter_mut().for_each(|result| *result = Val::I32(status));
            Ok(())
        })?;
    }
    Ok(linker)
}

const ANSWERED: [&str; 9] = [
    "proxy_log",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_send_local_response",
    "proxy_define_metric",
    "environ_sizes_get",
    "random_get",
];
const TOLD: [&str; 8] = [
    "proxy_set_tick_period_milliseconds",
    "proxy_set_property",
    "proxy_set_effective_context",
    "proxy_remove_header_map_value",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_set_shared_data",
    "environ_get",
];

fn memory(caller: &Caller<'_, Host>) -> Result<Memory, Failure> {
    let memory = caller.get_export("memory").and_then(wasmi::Extern::into_memory);
    memory.ok_or_else(|| Failure::new("the module has no memory"))
}

fn read(caller: &Caller<'_, Host>, at: u32, size: u32) -> Result<String, Failure> {
    let mut bytes = vec![0; as_usize(size)];
    memory(caller)?.read(caller, as_usize(at), &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(caller: &mut Caller<'_, Host>, to: u32, bytes: &[u8]) -> Result<i32, Failure> {
    memory(caller)?.write(caller, as_usize(to), bytes)?;
    Ok(DONE)
}

/// Puts bytes into memory that the module allocates, and says where.
fn hand_over(caller: &mut Caller<'_, Host>, bytes: Option<Vec<u8>>, data: u32, size: u32) -> Result<i32, Failure> {
    let Some(bytes) = bytes else { return Ok(REFUSED) };
    let allocate = caller
        .get_export("proxy_on_memory_allocate")
        .and_then(wasmi::Extern::into_func);
    let allocate = allocate.ok_or_else(|| Failure::new("the module does not allocate"))?;
    let length = as_u32(bytes.len());
    let at: u32 = allocate.typed(&*caller)?.call(&mut *caller, length)?;
    write(caller, at, &bytes)?;
    write(caller, data, &at.to_le_bytes())?;
    write(caller, size, &length.to_le_bytes())
}

/// Headers as the ABI carries them: their number, the lengths of each, then each with a NUL behind it.
fn pairs(headers: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let parts = || headers.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
    let lengths = parts().flat_map(|part| as_u32(part.len()).to_le_bytes());
    let texts = parts().flat_map(|part| part.iter().copied().chain([0]));
    let count = as_u32(headers.len()).to_le_bytes();
    count.into_iter().chain(lengths).chain(texts).collect()
}

fn as_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn as_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
