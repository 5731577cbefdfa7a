import { describe, expect, it } from 'vitest'
import { stripProto } from './strip-proto.ts'

describe('stripProto', () => {
  it('removes custom field options and keeps the plain ones', () => {
    const source =
      'message A {\r\n  string a = 1 [(validate.rules).string = {in: "]", min_len: 1}, deprecated = true];\r\n' +
      '  uint32 b = 2\r\n    [(validate.rules).uint32 = {gte: 1}];\r\n}\r\n'
    expect(stripProto(source)).toBe('message A {\n  string a = 1 [deprecated = true];\n  uint32 b = 2\n    ;\n}\n')
  })

  it('removes custom statement options, also those whose value is a block', () => {
    const source = 'option (a.b) = {x: "}"};\noption go_package = "p";\nmessage A {\n  option (c).d = "e";\n}\n'
    expect(stripProto(source)).toBe('\noption go_package = "p";\nmessage A {\n}\n')
  })

  it('removes comments and the imports that only options needed', () => {
    const source = 'import "validate/validate.proto";\nimport "x/y.proto"; // why "[" not\n/* [ */ message A {}\n'
    expect(stripProto(source)).toBe('import "x/y.proto"; \n message A {}\n')
  })

  it('leaves reserved ranges and nested messages alone', () => {
    const source = 'message A {\n  reserved 1, 3 to 5;\n  reserved "a";\n  message B { oneof c { B d = 1; } }\n}\n'
    expect(stripProto(source)).toBe(source)
  })
})
