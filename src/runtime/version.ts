/** The product's version; a test keeps it equal to package.json. */
export const VERSION = '0.1.0'

/** Image of every part of the mesh; local clusters map it to this checkout. */
export const IMAGE = `isthmus/isthmus:${VERSION}`
