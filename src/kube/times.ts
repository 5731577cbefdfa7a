/** Kubernetes' `date-time` is RFC 3339 in whole seconds, as the API server writes its own. */
export const wholeSeconds = (epochMs: number): string => new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z')
