// SPDX-License-Identifier: BSD-2-Clause
//
// Whether this program was built with a sanitizer, which g++ and clang++ say differently.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define SIO_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIO_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define SIO_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIO_THREAD_SANITIZER 1
#endif
#endif

#ifndef SIO_ADDRESS_SANITIZER
#define SIO_ADDRESS_SANITIZER 0
#endif
#ifndef SIO_THREAD_SANITIZER
#define SIO_THREAD_SANITIZER 0
#endif

namespace sio::test {

inline constexpr bool kAddressSanitizer = SIO_ADDRESS_SANITIZER != 0;
inline constexpr bool kThreadSanitizer = SIO_THREAD_SANITIZER != 0;

}  // namespace sio::test
