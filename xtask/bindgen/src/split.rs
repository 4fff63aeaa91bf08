//! The module in two: what a visit runs, and what few visits run.
//!
//! A page loads the first module. A function that is not in it is a few bytes there: they have the worker load the rest
//! (the import `rest`), which puts its functions into the first module's table, and go on there. The rest has no data
//! and no memory of its own: it imports the first module's memory, tables and globals. Whether a function is in the one
//! or the other module changes when its bytes come, and nothing else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::error::Error;

use crate::order::order_of;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, ImportSection, Instruction, Module, TableSection,
    TypeSection,
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, ElementItems, ElementSectionReader,
    ExportSectionReader, ExternalKind, FunctionBody, FunctionSectionReader, ImportSectionReader,
    KnownCustom, Name, Operator, Parser, Payload, TableSectionReader, TypeRef, TypeSectionReader,
};

/// The import of the first module that loads the rest.
const LOAD: &str = "rest";
/// The names under which the rest finds the first module's exports. wasm-opt's names of exports have no capitals.
const MEMORY: &str = "M";
const TABLE: &str = "T";
const GLOBAL: &str = "G";
/// The module name of these imports; that of JavaScript's functions is as in the first module.
const FIRST: &str = "b";
/// A function of fewer bytes stays: what would stand in its place is as long. Measured: 24 and 40 make a page larger.
const LEAST_BYTES: usize = 14;

/// The two modules.
#[derive(Debug)]
pub struct Split {
    /// What the page loads.
    pub first: Vec<u8>,
    /// What the worker loads when a function of it is called.
    pub rest: Vec<u8>,
}

/// Puts the functions that `is_rare` names, and those that only they call, into a module of their own. The names of the
/// functions are gone afterwards.
pub fn by_name(module: &[u8], is_rare: impl Fn(&str) -> bool) -> Result<Split, Box<dyn Error>> {
    let read = Read::new(module)?;
    let plan = Plan::new(&read, is_rare)?;
    let mut first = Module::new();
    let mut writer = FirstWriter {
        read: &read,
        plan: &plan,
    };
    utils::parse_core_module(&mut writer, &mut first, Parser::new(0), module)
        .map_err(|error| error.to_string())?;
    Ok(Split {
        first: first.finish(),
        rest: rest(&read, &plan)?,
    })
}

/// What is asked of the module.
#[derive(Default)]
pub(crate) struct Read<'a> {
    types: Option<TypeSectionReader<'a>>,
    /// For each type, what it takes; `None` for a type that is no function's.
    taken: Vec<Option<usize>>,
    /// The type that takes and gives nothing.
    nothing: Option<u32>,
    /// Imported functions: module, name, type.
    imported: Vec<(&'a str, &'a str, u32)>,
    /// The types of its own functions.
    functions: Vec<u32>,
    tables: Vec<wasmparser::TableType>,
    memory: Option<wasmparser::MemoryType>,
    globals: Vec<wasmparser::GlobalType>,
    /// Own functions that JavaScript, the start or the table names.
    pinned: BTreeSet<usize>,
    pub(crate) bodies: Vec<FunctionBody<'a>>,
    /// By number, imported ones included.
    pub(crate) names: BTreeMap<u32, &'a str>,
}

impl<'a> Read<'a> {
    pub(crate) fn new(module: &'a [u8]) -> Result<Self, Box<dyn Error>> {
        let mut read = Read::default();
        let mut pinned = BTreeSet::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(types) => {
                    read.types = Some(types.clone());
                    for ty in types.into_iter_err_on_gc_types() {
                        let ty = ty?;
                        if ty.params().is_empty() && ty.results().is_empty() {
                            read.nothing = Some(u32::try_from(read.taken.len())?);
                        }
                        read.taken.push(Some(ty.params().len()));
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(ty) => {
                                read.imported.push((import.module, import.name, ty));
                            }
                            _ => return Err("an import is not a function".into()),
                        }
                    }
                }
                Payload::FunctionSection(types) => {
                    read.functions = types.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::TableSection(tables) => {
                    for table in tables {
                        read.tables.push(table?.ty);
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        read.memory = Some(memory?);
                    }
                }
                Payload::GlobalSection(globals) => {
                    for global in globals {
                        read.globals.push(global?.ty);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            pinned.insert(export.index);
                        }
                    }
                }
                Payload::StartSection { func, .. } => {
                    pinned.insert(func);
                }
                Payload::ElementSection(elements) => {
                    for element in elements {
                        match element?.items {
                            ElementItems::Functions(functions) => {
                                for function in functions {
                                    pinned.insert(function?);
                                }
                            }
                            ElementItems::Expressions(..) => {
                                return Err("the table is filled by expressions".into());
                            }
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => read.bodies.push(body),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        for subsection in names {
                            if let Name::Function(names) = subsection? {
                                for name in names {
                                    let name = name?;
                                    read.names.insert(name.index, name.name);
                                }
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        read.pinned = pinned.into_iter().filter_map(|f| read.own(f)).collect();
        Ok(read)
    }

    /// The place of a function among the module's own.
    fn own(&self, function: u32) -> Option<usize> {
        (function as usize).checked_sub(self.imported.len())
    }

    /// The functions that it calls or names, own and imported.
    fn called(&self, body: usize) -> Result<BTreeSet<u32>, Box<dyn Error>> {
        let mut called = BTreeSet::new();
        for operator in self.bodies[body].get_operators_reader()? {
            match operator? {
                Operator::Call { function_index } => {
                    called.insert(function_index);
                }
                Operator::RefFunc { .. } | Operator::ReturnCall { .. } => {
                    return Err("a function is named in another way than by a call".into());
                }
                _ => {}
            }
        }
        Ok(called)
    }

    /// The name of an own function without the parts that differ from build to build.
    pub(crate) fn name(&self, own: usize) -> Option<String> {
        let number = u32::try_from(self.imported.len() + own).ok()?;
        self.names.get(&number).map(|name| plain(name))
    }
}

/// A function's name without the hashes of its crates. What all instances of one generic function share stays.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    let mut left = name;
    while let Some(at) = left.find('[') {
        let hash = left[at + 1..].split_once(']').map(|(hash, _)| hash);
        let is_hash = hash.is_some_and(|hash| {
            hash.len() >= 14 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let end = if is_hash {
            plain.push_str(&left[..at]);
            at + 2 + hash.map_or(0, str::len)
        } else {
            plain.push_str(&left[..=at]);
            at + 1
        };
        left = &left[end..];
    }
    plain.push_str(left);
    plain
}

/// Which function stands where.
struct Plan {
    /// Own functions that are in the rest, in their order.
    rare: Vec<usize>,
    /// Those that stay.
    often: Vec<usize>,
    /// Functions of the rest that the first module calls: alike ones side by side. The slots of its table follow each
    /// other in this order, after those of `lent`.
    entries: Vec<usize>,
    /// Functions of the first module that the rest calls, in the order of their numbers and slots there.
    lent: Vec<usize>,
    /// JavaScript's functions that the rest calls.
    imported: Vec<u32>,
    /// The number that each own function has in the first module.
    in_first: Vec<u32>,
    /// In the rest.
    in_rest: Vec<u32>,
    /// The slots that the module has without us.
    slots: u32,
}

impl Plan {
    fn new(read: &Read, is_rare: impl Fn(&str) -> bool) -> Result<Plan, Box<dyn Error>> {
        let count = read.bodies.len();
        let called = (0..count)
            .map(|body| read.called(body))
            .collect::<Result<Vec<_>, _>>()?;
        let mut callers = vec![BTreeSet::new(); count];
        for (caller, called) in called.iter().enumerate() {
            for callee in called.iter().filter_map(|f| read.own(*f)) {
                if callee != caller {
                    callers[callee].insert(caller);
                }
            }
        }
        let mut rare: Vec<bool> = (0..count)
            .map(|own| {
                read.bodies[own].range().len() >= LEAST_BYTES
                    && read.name(own).is_some_and(|name| is_rare(&name))
            })
            .collect();
        loop {
            let more: Vec<usize> = (0..count)
                .filter(|own| !rare[*own] && !read.pinned.contains(own))
                .filter(|own| !callers[*own].is_empty() && callers[*own].iter().all(|c| rare[*c]))
                .collect();
            if more.is_empty() {
                break;
            }
            more.into_iter().for_each(|own| rare[own] = true);
        }
        let slots = read.tables.first().ok_or("there is no table")?.initial;
        let ordered = |of: Vec<usize>| -> Vec<usize> {
            let bodies: Vec<&[u8]> = of.iter().map(|own| read.bodies[*own].as_bytes()).collect();
            order_of(&bodies).into_iter().map(|at| of[at]).collect()
        };
        let mut plan = Plan {
            rare: ordered((0..count).filter(|own| rare[*own]).collect()),
            often: ordered((0..count).filter(|own| !rare[*own]).collect()),
            entries: Vec::new(),
            lent: Vec::new(),
            imported: Vec::new(),
            in_first: vec![0; count],
            in_rest: vec![0; count],
            slots: u32::try_from(slots)?,
        };
        let by_rest: BTreeSet<u32> = plan
            .rare
            .iter()
            .flat_map(|own| called[*own].clone())
            .collect();
        plan.imported = by_rest
            .iter()
            .copied()
            .filter(|f| read.own(*f).is_none())
            .collect();
        let lent: BTreeSet<usize> = by_rest
            .iter()
            .filter_map(|f| read.own(*f))
            .filter(|own| !rare[*own])
            .collect();
        plan.lent = plan
            .often
            .iter()
            .copied()
            .filter(|own| lent.contains(own))
            .collect();
        plan.entries = (0..count)
            .filter(|own| rare[*own])
            .filter(|own| read.pinned.contains(own) || callers[*own].iter().any(|c| !rare[*c]))
            .collect();
        plan.entries.sort_by_key(|own| read.functions[*own]);
        // The first module has one import and one function more than the whole had: see `FirstWriter`.
        let stands = read.imported.len() + 1 + plan.often.len() + 1;
        for (at, own) in plan.often.iter().enumerate() {
            plan.in_first[*own] = u32::try_from(read.imported.len() + 1 + at)?;
        }
        for (at, own) in plan.entries.iter().enumerate() {
            plan.in_first[*own] = u32::try_from(stands + at)?;
        }
        for (at, own) in plan.rare.iter().enumerate() {
            plan.in_rest[*own] = u32::try_from(plan.imported.len() + at)?;
        }
        Ok(plan)
    }

    /// The slot of the first of `entries`.
    fn first_entry(&self) -> u32 {
        self.slots + self.lent.len() as u32
    }

    /// The slots that come to the table.
    fn added(&self) -> u64 {
        (self.lent.len() + self.entries.len()) as u64
    }
}

type Fault = reencode::Error<Infallible>;

/// Writes the first module: the functions that stay; then one that loads the rest unless it is there; then one for each
/// function that is elsewhere, which calls that one and goes on through the table.
struct FirstWriter<'a> {
    read: &'a Read<'a>,
    plan: &'a Plan,
}

impl FirstWriter<'_> {
    fn nothing(&self) -> u32 {
        self.read.nothing.unwrap_or(self.read.taken.len() as u32)
    }

    fn loader(&self) -> u32 {
        (self.read.imported.len() + 1 + self.plan.often.len()) as u32
    }
}

impl Reencode for FirstWriter<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Fault> {
        Ok(match self.read.own(function) {
            Some(own) => self.plan.in_first[own],
            None => function,
        })
    }

    fn parse_custom_section(
        &mut self,
        _module: &mut Module,
        _section: CustomSectionReader<'_>,
    ) -> Result<(), Fault> {
        Ok(())
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result<(), Fault> {
        utils::parse_type_section(self, types, section)?;
        if self.read.nothing.is_none() {
            types.ty().function([], []);
        }
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Fault> {
        utils::parse_import_section(self, imports, section)?;
        let module = self
            .read
            .imported
            .first()
            .map_or("a", |(module, ..)| module);
        imports.import(module, LOAD, EntityType::Function(self.nothing()));
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        _section: FunctionSectionReader<'_>,
    ) -> Result<(), Fault> {
        for own in &self.plan.often {
            functions.function(self.read.functions[*own]);
        }
        functions.function(self.nothing());
        for own in &self.plan.entries {
            functions.function(self.read.functions[*own]);
        }
        Ok(())
    }

    fn parse_table_section(
        &mut self,
        tables: &mut TableSection,
        section: TableSectionReader<'_>,
    ) -> Result<(), Fault> {
        for (at, table) in section.into_iter().enumerate() {
            let mut table = table?;
            if at == 0 {
                table.ty.initial += self.plan.added();
                table.ty.maximum = table.ty.maximum.map(|most| most + self.plan.added());
            }
            utils::parse_table(self, tables, table)?;
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Fault> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(MEMORY, ExportKind::Memory, 0);
        for at in 0..self.read.tables.len() as u32 {
            exports.export(&format!("{TABLE}{at}"), ExportKind::Table, at);
        }
        for at in 0..self.read.globals.len() as u32 {
            exports.export(&format!("{GLOBAL}{at}"), ExportKind::Global, at);
        }
        Ok(())
    }

    fn parse_element_section(
        &mut self,
        elements: &mut ElementSection,
        section: ElementSectionReader<'_>,
    ) -> Result<(), Fault> {
        utils::parse_element_section(self, elements, section)?;
        let lent = self.plan.lent.iter();
        let lent: Vec<u32> = lent.map(|own| self.plan.in_first[*own]).collect();
        let at = ConstExpr::i32_const(self.plan.slots as i32);
        elements.active(None, &at, Elements::Functions(Cow::Owned(lent)));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        _section: CodeSectionReader<'_>,
    ) -> Result<(), Fault> {
        for own in &self.plan.often {
            self.parse_function_body(code, self.read.bodies[*own].clone())?;
        }
        let mut load = Function::new([]);
        if !self.plan.entries.is_empty() {
            load.instruction(&Instruction::I32Const(self.plan.first_entry() as i32));
            load.instruction(&Instruction::TableGet(0));
            load.instruction(&Instruction::RefIsNull);
            load.instruction(&Instruction::If(BlockType::Empty));
            load.instruction(&Instruction::Call(self.read.imported.len() as u32));
            load.instruction(&Instruction::End);
        }
        load.instruction(&Instruction::End);
        code.function(&load);
        for (own, slot) in self.plan.entries.iter().zip(self.plan.first_entry()..) {
            let ty = self.read.functions[*own];
            let taken = self.read.taken[ty as usize].unwrap_or(0);
            let mut stand_in = Function::new([]);
            stand_in.instruction(&Instruction::Call(self.loader()));
            for local in 0..taken as u32 {
                stand_in.instruction(&Instruction::LocalGet(local));
            }
            stand_in.instruction(&Instruction::I32Const(slot as i32));
            stand_in.instruction(&Instruction::CallIndirect {
                type_index: ty,
                table_index: 0,
            });
            stand_in.instruction(&Instruction::End);
            code.function(&stand_in);
        }
        Ok(())
    }
}

/// Writes the functions of the rest.
struct RestWriter<'a> {
    read: &'a Read<'a>,
    plan: &'a Plan,
    /// Those of the functions that the first module lends.
    slots: BTreeMap<usize, u32>,
}

impl Reencode for RestWriter<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Fault> {
        Ok(match self.read.own(function) {
            Some(own) => self.plan.in_rest[own],
            None => self.plan.imported.partition_point(|i| *i < function) as u32,
        })
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Fault> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let lent = match &operator {
                Operator::Call { function_index } => self.read.own(*function_index),
                _ => None,
            };
            match lent.and_then(|own| Some((own, self.slots.get(&own)?))) {
                Some((own, slot)) => {
                    function.instruction(&Instruction::I32Const(*slot as i32));
                    function.instruction(&Instruction::CallIndirect {
                        type_index: self.read.functions[own],
                        table_index: 0,
                    });
                }
                None => {
                    function.instruction(&self.instruction(operator)?);
                }
            }
        }
        code.function(&function);
        Ok(())
    }
}

fn rest(read: &Read, plan: &Plan) -> Result<Vec<u8>, Box<dyn Error>> {
    let slots = plan.lent.iter().copied().zip(plan.slots..).collect();
    let mut writer = RestWriter { read, plan, slots };
    let fault = |error: Fault| error.to_string();
    let mut types = TypeSection::new();
    let section = read.types.clone().ok_or("there are no types")?;
    utils::parse_type_section(&mut writer, &mut types, section).map_err(fault)?;
    let mut imports = ImportSection::new();
    for function in &plan.imported {
        let (module, name, ty) = read.imported[*function as usize];
        imports.import(module, name, EntityType::Function(ty));
    }
    for (at, table) in read.tables.iter().enumerate() {
        let mut table = *table;
        if at == 0 {
            table.initial += plan.added();
            table.maximum = table.maximum.map(|most| most + plan.added());
        }
        let ty = EntityType::Table(writer.table_type(table).map_err(fault)?);
        imports.import(FIRST, &format!("{TABLE}{at}"), ty);
    }
    let memory = read.memory.ok_or("there is no memory")?;
    let memory = EntityType::Memory(writer.memory_type(memory).map_err(fault)?);
    imports.import(FIRST, MEMORY, memory);
    for (at, global) in read.globals.iter().enumerate() {
        let ty = EntityType::Global(writer.global_type(*global).map_err(fault)?);
        imports.import(FIRST, &format!("{GLOBAL}{at}"), ty);
    }
    let mut functions = FunctionSection::new();
    for own in &plan.rare {
        functions.function(read.functions[*own]);
    }
    let mut elements = ElementSection::new();
    let entries = plan.entries.iter();
    let entries: Vec<u32> = entries.map(|own| plan.in_rest[*own]).collect();
    let at = ConstExpr::i32_const(plan.first_entry() as i32);
    elements.active(None, &at, Elements::Functions(Cow::Owned(entries)));
    let mut code = CodeSection::new();
    for own in &plan.rare {
        let body = read.bodies[*own].clone();
        writer.parse_function_body(&mut code, body).map_err(fault)?;
    }
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&elements)
        .section(&code);
    Ok(module.finish())
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{
        GlobalSection, GlobalType, MemorySection, MemoryType, NameMap, NameSection, RefType,
        TableType, ValType,
    };

    use super::*;

    /// `often` calls JavaScript and `rare`; `rare` calls `deep` and `shared`; `often` calls `shared`, too. `tabled` is
    /// in the table.
    const NAMES: [&str; 5] = [
        "often",
        "rare[0123456789abcdef]",
        "deep",
        "shared",
        "tabled",
    ];

    fn module() -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I64], [ValType::I64]);
        let mut imports = ImportSection::new();
        imports.import("a", "js", EntityType::Function(0));
        let mut functions = FunctionSection::new();
        let mut tables = TableSection::new();
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            minimum: 2,
            maximum: Some(2),
            table64: false,
            shared: false,
        });
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let stack = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        globals.global(stack, &ConstExpr::i32_const(7));
        let mut exports = ExportSection::new();
        exports.export("o", ExportKind::Func, 1);
        let mut elements = ElementSection::new();
        let at = ConstExpr::i32_const(1);
        elements.active(None, &at, Elements::Functions(vec![5].into()));
        let mut code = CodeSection::new();
        let calls: [&[u32]; 5] = [&[0, 2, 4], &[3, 4, 0], &[0], &[0], &[4]];
        for (number, calls) in calls.iter().enumerate() {
            functions.function(0);
            let mut body = Function::new([]);
            body.instructions().local_get(0);
            for call in *calls {
                // Its own number, so that each body is known again, and long enough to be worth moving.
                body.instructions()
                    .i64_const(number as i64 + (1 << 60))
                    .i64_xor()
                    .call(*call);
                body.instructions().global_get(0).global_set(0);
            }
            body.instructions().end();
            code.function(&body);
        }
        let mut names = NameSection::new();
        let mut map = NameMap::new();
        for (at, name) in NAMES.iter().enumerate() {
            map.append(at as u32 + 1, name);
        }
        names.functions(&map);
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&tables)
            .section(&memories)
            .section(&globals)
            .section(&exports)
            .section(&elements)
            .section(&code)
            .section(&names);
        module.finish()
    }

    #[test]
    fn what_few_visits_run_goes_with_what_only_it_calls() {
        let split = by_name(&module(), |name| name == "rare" || name == "tabled").unwrap();
        for module in [&split.first, &split.rest] {
            wasmparser::validate(module).unwrap();
        }
        let (first, rest) = (
            Read::new(&split.first).unwrap(),
            Read::new(&split.rest).err().unwrap(),
        );
        // Two that stay, the one that loads, and one in the place of each that is called from here or by the table.
        assert_eq!(first.bodies.len(), 2 + 1 + 2);
        assert!(first.names.is_empty());
        assert_eq!(first.tables[0].initial, 2 + 1 + 2);
        // The rest has imports that are no functions, and the three bodies: the callee went along.
        assert_eq!(rest.to_string(), "an import is not a function");
        assert_eq!(bodies(&split.rest), 3);
    }

    #[test]
    fn without_a_rare_function_nothing_is_moved() {
        let split = by_name(&module(), |_| false).unwrap();
        wasmparser::validate(&split.first).unwrap();
        assert_eq!(bodies(&split.first), NAMES.len() + 1);
        assert_eq!(bodies(&split.rest), 0);
    }

    fn bodies(module: &[u8]) -> usize {
        let payloads = Parser::new(0).parse_all(module);
        payloads
            .filter(|payload| matches!(payload, Ok(Payload::CodeSectionEntry(_))))
            .count()
    }
}
