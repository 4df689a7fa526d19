# SPDX-License-Identifier: BSD-2-Clause
# Run by cpack for the source archive: lays out what will be in it. (It is run for the packages too.)
if(NOT CPACK_GENERATOR STREQUAL CPACK_SOURCE_GENERATOR)
  return()
endif()

execute_process(
  COMMAND git ls-files -z
  COMMAND tar --create --null --files-from=-
  COMMAND tar --extract --directory "${CMAKE_INSTALL_PREFIX}"
  WORKING_DIRECTORY "${CPACK_SIO_SOURCE_DIR}" COMMAND_ERROR_IS_FATAL ANY)
