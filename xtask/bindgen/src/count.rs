//! A module that notes which of its functions ran, to find those that few visits run. Never shipped.
//!
//! Each function has a byte behind the memory that the module begins with, and sets it to 1. The allocator takes only
//! memory that it has the browser add.

use std::convert::Infallible;
use std::error::Error;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{CodeSection, Instruction, MemArg, Module};
use wasmparser::{FunctionBody, MemoryType, Parser, Payload};

use crate::split::Read;

const PAGE: u64 = 65_536;

/// A module that counts.
#[derive(Debug)]
pub struct Counting {
    /// The module.
    pub module: Vec<u8>,
    /// The first of the bytes.
    pub at: u64,
    /// For each byte, the name of its function.
    pub names: Vec<String>,
}

/// The module with a byte for each function.
pub fn counting(module: &[u8]) -> Result<Counting, Box<dyn Error>> {
    let read = Read::new(module)?;
    let count = read.bodies.len();
    let names = (0..count).map(|own| read.name(own).unwrap_or_default());
    let mut at = 0;
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::MemorySection(memories) = payload? {
            for memory in memories {
                at = memory?.initial * PAGE;
            }
        }
    }
    let mut writer = Writer {
        at,
        pages: (count as u64).div_ceil(PAGE),
        next: 0,
    };
    let mut counting = Module::new();
    utils::parse_core_module(&mut writer, &mut counting, Parser::new(0), module)
        .map_err(|error| error.to_string())?;
    Ok(Counting {
        module: counting.finish(),
        at,
        names: names.collect(),
    })
}

struct Writer {
    at: u64,
    pages: u64,
    next: u64,
}

impl Reencode for Writer {
    type Error = Infallible;

    fn memory_type(
        &mut self,
        memory: MemoryType,
    ) -> Result<wasm_encoder::MemoryType, reencode::Error<Infallible>> {
        let mut memory = memory;
        memory.initial += self.pages;
        Ok(utils::memory_type(self, memory))
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        function.instruction(&Instruction::I32Const((self.at + self.next) as i32));
        function.instruction(&Instruction::I32Const(1));
        function.instruction(&Instruction::I32Store8(MemArg {
            offset: 0,
            align: 0,
            memory_index: 0,
        }));
        self.next += 1;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            function.instruction(&self.parse_instruction(&mut reader)?);
        }
        code.function(&function);
        Ok(())
    }
}
