/** Reports of `isthmus describe` for people. What there is none of is not mentioned, but for what surprises. Pure. */
import type { FindingText, PodReport, PolicyText, ServiceReport } from '../../model/explain.ts'
import { renderTable } from '../output.ts'
import { tlsTable } from '../tls-check.ts'

export function serviceText(report: ServiceReport): string {
  const { name, host, ports, pods, exportedTo, importedFrom, localFailover } = report
  const ready = pods.filter((pod) => pod.ready).length
  const withSidecar = pods.filter(({ sidecar }) => sidecar).length
  const without = pods.filter(({ sidecar }) => !sidecar).map((pod) => pod.name)
  const head = [
    ['Service', name],
    ['Host', host],
    [
      'Ports',
      ports
        .map(
          ({ name: own, port, targetPort, protocol }) =>
            `${own === '' ? '' : `${own} `}${port}→${targetPort} ${protocol}`,
        )
        .join(', '),
    ],
    [
      'Pods',
      `${pods.length}, ${ready} ready, ${withSidecar} with a sidecar${without.length > 0 && withSidecar > 0 ? ` (without: ${without.join(', ')})` : ''}`,
    ],
    [
      'Exported',
      exportedTo === undefined
        ? 'no'
        : `to ${exportedTo.length === 0 ? 'no peer yet' : exportedTo.join(', ')}${localFailover ? '; its local name fails over to peers' : ''}`,
    ],
    ...(importedFrom.length > 0 ? [['Also in', importedFrom.join(', ')]] : []),
    ['Seen from', report.seenFrom],
  ]
  return sections([
    ['', aligned(head)],
    ...report.routes.map(({ source, protocol, rules }): Section => [
      `Routes (${protocol}) of ${source}, the first that matches counts`,
      rules
        .map(({ match, to, with: extras }, index) =>
          [`${index + 1}. ${match} → ${to}`, ...extras.map((extra) => `     ${extra}`)].join('\n'),
        )
        .join('\n'),
    ]),
    ...(report.routes.length === 0 ? [['Routes', 'none: requests go to the service itself'] as const] : []),
    [
      'Named elsewhere, without effect here',
      report.overruled.map(({ object, reason }) => `${object}: ${reason}`).join('\n'),
    ],
    ['Destination rules', policyLines(report.destinationRules)],
    [
      'Subsets',
      report.subsets.map(({ name: own, labels, pods: count }) => `${own} (${labels}): ${count} pods`).join('\n'),
    ],
    ['Circuit breakers', policyLines(report.breakers)],
    ['Policies, in the order in which they judge', policyLines(report.policies)],
    ['mTLS', tlsTable(report.mtls, true)],
    ['Warnings', warningLines(report.warnings)],
  ])
}

export function podText(report: PodReport): string {
  const { name, identity, workload, node, ip, sidecar, captured, ready, services, sidecarObject } = report
  const entry = !sidecar
    ? 'none: it is not in the mesh'
    : captured
      ? 'yes, connections are captured'
      : 'yes, by http_proxy'
  const head = [
    ['Pod', `${name}${ready ? '' : ' (not ready)'}`],
    ['Address', `${ip || 'none yet'} on ${node || 'no node yet'}`],
    ['Workload', workload],
    ['Identity', identity],
    ['Sidecar', entry],
    ['Services', services.join(', ') || 'none selects it'],
    [
      'Calls',
      `${report.hostsKnown} hosts${sidecarObject === '' ? '' : ` by Sidecar ${sidecarObject}`}; others are ${report.unknownHosts}`,
    ],
  ]
  const ports = report.mtls.map(({ port, names, mode, decidedBy }) => [
    String(port),
    mode,
    decidedBy || 'default',
    names.join(', '),
  ])
  return sections([
    ['', aligned(head)],
    ['mTLS', ports.length === 0 ? '' : renderTable([['PORT', 'MODE', 'AUTHN-POLICY', 'SERVES'], ...ports])],
    ['Policies, in the order in which they judge', policyLines(report.policies)],
    ['Warnings', warningLines(report.warnings)],
  ])
}

type Section = readonly [title: string, body: string]

function sections(parts: readonly Section[]): string {
  return parts
    .filter(([, body]) => body !== '')
    .map(([title, body]) => (title === '' ? body : `${title}:\n${indented(body)}`))
    .join('\n\n')
}

const indented = (text: string): string => text.replaceAll(/^/gm, '  ')

const aligned = (rows: readonly (readonly string[])[]): string =>
  rows.map(([label = '', value = '']) => `${`${label}:`.padEnd(12)}${value}`).join('\n')

function policyLines(policies: readonly PolicyText[]): string {
  return policies
    .map(
      ({ kind, name, action, detail }, index) =>
        `${index + 1}. ${kind} ${name}${action === '' ? '' : ` ${action}`}${detail === '' ? '' : `: ${detail}`}`,
    )
    .join('\n')
}

const warningLines = (findings: readonly FindingText[]): string =>
  findings
    .map(({ severity, code, object, field, message, hint }) =>
      [
        `${severity} [${code}] ${object}${field === '' ? '' : ` ${field}`}: ${message}`,
        ...(hint === '' ? [] : [`  ${hint}`]),
      ].join('\n'),
    )
    .join('\n')
