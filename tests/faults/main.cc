// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include <cstdlib>

#include "conformance/support.h"
#include "faults/faulty_provider.h"

int main(int argc, char** argv) {
  // Errors are what this is about.
  setenv("SIO_LOG", "none", 0);
  sio::internal::provider::set_factory(sio::test::create_faulty_soft_provider);
  sio::test::set_complaint_handler([](const std::string& text) { ADD_FAILURE() << text; });
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
