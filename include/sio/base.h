/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What every public header needs: linkage, visibility, the library's version.
 */
#ifndef SIO_BASE_H
#define SIO_BASE_H

#define SIO_VERSION_MAJOR 0
#define SIO_VERSION_MINOR 1
#define SIO_VERSION_PATCH 0

#ifdef __cplusplus
#define SIO_BEGIN_DECLS extern "C" {
#define SIO_END_DECLS }
#else
#define SIO_BEGIN_DECLS
#define SIO_END_DECLS
#endif

#define SIO_API __attribute__((visibility("default")))

#endif /* SIO_BASE_H */
