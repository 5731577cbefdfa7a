/**
 * Why a patch could not be applied, with the HTTP status a client gets for it: 400 for a patch that cannot be read,
 * 413 for one beyond a limit, 422 for one that reads well and does not fit the object.
 */
export class PatchError extends Error {
  readonly status: 400 | 413 | 422

  constructor(status: 400 | 413 | 422, message: string) {
    super(message)
    this.name = 'PatchError'
    this.status = status
  }
}
