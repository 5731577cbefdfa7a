/** Every error code of the product. Add a row here and `npm run check` asks for it in docs/reference/errors.md. */
import type { CatalogueEntry } from './errors.ts'

export const CATALOGUE = {
  USAGE: { title: 'A command line is wrong.', hint: 'Run the command with --help for its flags and examples.' },
  NOT_BUILT: {
    title: 'The feature is named by the design and not built yet.',
    hint: 'See docs/roadmap.md for its state.',
  },
  SETTING_MISSING: {
    title: 'A required setting is absent.',
    hint: 'Set the variable; docs/reference/defaults.yaml lists them all.',
  },
  SETTING_INVALID: {
    title: 'A setting has a value outside its range.',
    hint: 'Correct the value; docs/reference/defaults.yaml gives the range.',
  },
  INTERNAL: { title: 'A bug: an invariant did not hold.', hint: 'Please report it with the log around it.' },
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof CATALOGUE
