//! The order of a module's functions, for its weight when it is compressed.
//!
//! gzip finds a repetition within the last 32 KiB. Functions made of the same source for different types are much
//! alike, and a compiler scatters them: side by side they compress better. Nothing else changes: the same functions
//! under other numbers.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// Bytes that are compared at once.
const SHINGLE: usize = 7;
/// A shingle in more functions than this shows nothing about two of them.
const MOST_FUNCTIONS: usize = 100;
/// The distance at which a likeness counts: a little less than gzip looks back.
const WINDOW: usize = 30_000;

/// The module with like functions beside each other.
pub fn by_likeness(module: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut imported = 0;
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(&module[body.range()]),
            _ => {}
        }
    }
    let order = order_of(&bodies);
    let mut place = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = imported + u32::try_from(new)?;
    }
    let mut moved = Module::new();
    let mut mover = Mover {
        imported,
        order,
        place,
    };
    utils::parse_core_module(&mut mover, &mut moved, Parser::new(0), module)
        .map_err(|error| error.to_string())?;
    Ok(moved.finish())
}

/// The function that comes next: always the one with the largest part in the window already.
fn order_of(bodies: &[&[u8]]) -> Vec<usize> {
    let mut shingled: Vec<Vec<u32>> = bodies.iter().map(|body| shingles(body)).collect();
    let mut having: HashMap<u32, Vec<usize>> = HashMap::new();
    for (function, shingles) in shingled.iter().enumerate() {
        for shingle in shingles {
            having.entry(*shingle).or_default().push(function);
        }
    }
    // Bytes that only one function has repeat nothing.
    having.retain(|_, functions| (2..=MOST_FUNCTIONS).contains(&functions.len()));
    for shingles in &mut shingled {
        shingles.retain(|shingle| having.contains_key(shingle));
    }
    let mut shared = vec![0usize; bodies.len()];
    let mut in_window: HashMap<u32, usize> = HashMap::new();
    let mut window = VecDeque::new();
    let mut window_bytes = 0;
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    let mut order = Vec::with_capacity(bodies.len());
    while !left.is_empty() {
        // Shares are compared crosswise, so that the result is the same everywhere; a tie goes to the longer one.
        let mut best = 0;
        for candidate in 1..left.len() {
            let (a, b) = (left[candidate], left[best]);
            let share_a = shared[a] * (shingled[b].len() + 3);
            let share_b = shared[b] * (shingled[a].len() + 3);
            if (share_a, bodies[a].len(), b) > (share_b, bodies[b].len(), a) {
                best = candidate;
            }
        }
        let next = left.swap_remove(best);
        order.push(next);
        window.push_back(next);
        window_bytes += bodies[next].len();
        for shingle in &shingled[next] {
            let count = in_window.entry(*shingle).or_default();
            *count += 1;
            if *count == 1 {
                having[shingle].iter().for_each(|other| shared[*other] += 1);
            }
        }
        while window_bytes > WINDOW && window.len() > 1 {
            let Some(old) = window.pop_front() else { break };
            window_bytes -= bodies[old].len();
            for shingle in &shingled[old] {
                let count = in_window.entry(*shingle).or_default();
                *count -= 1;
                if *count == 0 {
                    having[shingle].iter().for_each(|other| shared[*other] -= 1);
                }
            }
        }
    }
    order
}

/// Hashes of a body's shingles, each once.
fn shingles(body: &[u8]) -> Vec<u32> {
    let mut hashes: Vec<u32> = body
        .windows(SHINGLE)
        .map(|shingle| {
            // FNV-1a.
            shingle.iter().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            })
        })
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Writes the module anew with its functions in another order.
struct Mover {
    /// Functions that come from outside; they keep their numbers.
    imported: u32,
    /// Old places in their new order.
    order: Vec<usize>,
    /// New number by old place.
    place: Vec<u32>,
}

impl Reencode for Mover {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        Ok(match function.checked_sub(self.imported) {
            Some(own) => self.place[own as usize],
            None => function,
        })
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
        for old in &self.order {
            functions.function(types[*old]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for old in self.order.clone() {
            self.parse_function_body(code, bodies[old].clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module of functions that return a number of their own, each exported under it.
    fn module(numbers: &[i64]) -> Vec<u8> {
        use wasm_encoder::{
            ExportKind, ExportSection, Function, FunctionSection, TypeSection, ValType,
        };
        let mut types = TypeSection::new();
        types.ty().function([], [ValType::I64]);
        let (mut functions, mut exports, mut code) = (
            FunctionSection::new(),
            ExportSection::new(),
            CodeSection::new(),
        );
        for (at, number) in numbers.iter().enumerate() {
            functions.function(0);
            exports.export(&number.to_string(), ExportKind::Func, at as u32);
            let mut body = Function::new([]);
            body.instructions().i64_const(*number).end();
            code.function(&body);
        }
        let mut module = Module::new();
        module
            .section(&types)
            .section(&functions)
            .section(&exports)
            .section(&code);
        module.finish()
    }

    /// The results of each export, read from the bytes of its body.
    fn returned(module: &[u8]) -> Vec<(String, Vec<u8>)> {
        let (mut exports, mut bodies) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|export| {
                        let export = export.unwrap();
                        (export.name.to_owned(), export.index)
                    }));
                }
                Payload::CodeSectionEntry(body) => bodies.push(module[body.range()].to_vec()),
                _ => {}
            }
        }
        exports
            .into_iter()
            .map(|(name, index)| (name, bodies[index as usize].clone()))
            .collect()
    }

    #[test]
    fn every_name_still_means_the_same_function() {
        let numbers: Vec<i64> = (0..200i64)
            .map(|n| ((n % 7) << 40) | (n << 20) | (n % 3))
            .collect();
        let before = module(&numbers);
        let after = by_likeness(&before).unwrap();
        assert_ne!(before, after, "the order changed");
        assert_eq!(returned(&before), returned(&after));
    }
}
