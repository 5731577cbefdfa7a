/** Named formats of Kubernetes' CEL library (`format.dns1123Label().validate(self)`), with the words it uses. */
export interface NamedFormat {
  readonly fits: (text: string) => boolean
  readonly flaw: string
}

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const DATE = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/
const DATE_TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$/
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const isLabel = (text: string): boolean => text.length <= 63 && LABEL.test(text)
/** Split first: one expression over all labels would backtrack. */
const isSubdomain = (text: string): boolean => text.length <= 253 && text.split('.').every((part) => LABEL.test(part))
const isQualified = (text: string): boolean => text.length <= 63 && QUALIFIED.test(text)

function isQualifiedName(text: string): boolean {
  const parts = text.split('/')
  const [first = '', second] = parts
  if (parts.length > 2) return false
  return second === undefined ? isQualified(first) : isSubdomain(first) && isQualified(second)
}

const LABEL_FLAW = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
const SUBDOMAIN_FLAW = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
const LABEL_1035_FLAW = "a DNS-1035 label must consist of lower case alphanumeric characters or '-'"

export const FORMATS = {
  dns1123Label: { fits: isLabel, flaw: LABEL_FLAW },
  dns1123Subdomain: { fits: isSubdomain, flaw: SUBDOMAIN_FLAW },
  dns1035Label: { fits: (text) => text.length <= 63 && LABEL_1035.test(text), flaw: LABEL_1035_FLAW },
  qualifiedName: { fits: isQualifiedName, flaw: 'name part must consist of alphanumeric characters' },
  labelValue: {
    fits: (text) => text === '' || isQualified(text),
    flaw: 'a valid label must be an empty string or consist of alphanumeric characters',
  },
  dns1123LabelPrefix: { fits: (text) => isLabel(text.replace(/-$/, 'x')), flaw: LABEL_FLAW },
  dns1123SubdomainPrefix: { fits: (text) => isSubdomain(text.replace(/-$/, 'x')), flaw: SUBDOMAIN_FLAW },
  dns1035LabelPrefix: { fits: (text) => LABEL_1035.test(text.replace(/-$/, 'x')), flaw: LABEL_1035_FLAW },
  uri: { fits: (text) => URL.canParse(text), flaw: 'must be a URI' },
  uuid: { fits: (text) => UUID.test(text), flaw: 'does not match the UUID format' },
  byte: { fits: (text) => BASE64.test(text), flaw: 'invalid base64' },
  date: { fits: (text) => DATE.test(text) && !Number.isNaN(Date.parse(text)), flaw: 'invalid date' },
  datetime: { fits: (text) => DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)), flaw: 'invalid datetime' },
} as const satisfies Readonly<Record<string, NamedFormat>>
