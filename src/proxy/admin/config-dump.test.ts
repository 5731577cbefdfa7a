import { describe, expect, it } from 'vitest'
import { HiddenText } from '../../model/config.ts'
import { redacted } from './config-dump.ts'

describe('redacted', () => {
  it('hides what is secret by its name, and hidden texts wherever they stand', () => {
    const policy = { users: { text: 'ann' }, keys: [{ key: new HiddenText('k'), client: 'ann' }] }
    expect(redacted(policy)).toEqual({ users: { text: '[redacted]' }, keys: [{ key: '[redacted]', client: 'ann' }] })
  })
})
