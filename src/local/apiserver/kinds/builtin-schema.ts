/** Compiled schemas of built-in kinds, made when a kind is first written: most runs touch a third of them. */
import { compileSchema, type CompiledSchema } from '../crd/structural.ts'
import { builtinSchema } from '../openapi/builtin.ts'

function compile(group: string, version: string, kind: string): CompiledSchema {
  const schema = builtinSchema(group, version, kind)
  // A row of the kinds' table without types is a mistake of ours, not of the client.
  if (schema === undefined) throw new Error(`no types for ${kind} of ${group}/${version}`)
  return compileSchema(schema)
}

export function compiledBuiltin(group: string, version: string, kind: string): CompiledSchema {
  let compiled: CompiledSchema | undefined
  const get = (): CompiledSchema => (compiled ??= compile(group, version, kind))
  return {
    prune: (object) => get().prune(object),
    applyDefaults: (object) => get().applyDefaults(object),
    validate: (object) => get().validate(object),
  }
}
