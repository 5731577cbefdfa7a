/**
 * Configuration as a table: key, environment variable, default, unit and doc in one row. The parser, `--help` and
 * docs/reference/defaults.yaml come from the same rows (a test keeps them equal).
 */
import { MeshError } from './errors.ts'

export interface Setting {
  readonly env: string
  /** Absent: the setting is required. */
  readonly default?: string
  readonly unit?: string
  readonly doc: string
}

export type Settings = Readonly<Record<string, Setting>>

/** Every value as text; the caller converts with `numberSetting` where a number is meant. */
export function readSettings<S extends Settings>(
  role: string,
  table: S,
  env: NodeJS.ProcessEnv,
): { [K in keyof S]: string } {
  const values: Record<string, string> = {}
  const missing: string[] = []
  for (const [key, setting] of Object.entries(table)) {
    const value = env[setting.env] ?? setting.default
    if (value === undefined) missing.push(setting.env)
    else values[key] = value
  }
  if (missing.length > 0) {
    throw new MeshError('SETTING_MISSING', `isthmus ${role}: environment variable ${missing.join(', ')} is not set`)
  }
  return values as { [K in keyof S]: string }
}

export function numberSetting(env: string, text: string, range: { min: number; max: number }): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < range.min || value > range.max) {
    throw new MeshError('SETTING_INVALID', `${env}=${text} is not a number from ${range.min} to ${range.max}`)
  }
  return value
}
