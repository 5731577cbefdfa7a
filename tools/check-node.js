/**
 * Says in one line that Node is too old, where it would otherwise fail with a stack trace: the tools are TypeScript
 * that Node runs by stripping types. Plain JavaScript on purpose, so that any Node can read it.
 */
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `isthmus needs Node 22.19 or later to build and run; this is ${process.version}. Install Node 24 (LTS).`,
  )
  process.exit(1)
}
