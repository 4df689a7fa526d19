# SPDX-License-Identifier: BSD-2-Clause
# Debian packages, one per component of the installation, and the source archive; docs/packages.md says how to make them.
# cmake/debian has what only they need: the symbols file, the changelog, the copyright file.

set(debian "${PROJECT_SOURCE_DIR}/cmake/debian")
set(SIO_PACKAGE_library libsio${PROJECT_VERSION_MAJOR}) # as its soname
set(SIO_PACKAGE_development libsio-dev)
set(SIO_PACKAGE_tools sio-tools)

# The changelog's first entry has the revision, and who made the packages.
file(READ "${debian}/changelog" changelog)
string(REGEX MATCH "^libsio \\(([0-9.]+)-([^)]+)\\)" _ "${changelog}")
set(packaged_version "${CMAKE_MATCH_1}")
set(CPACK_DEBIAN_PACKAGE_RELEASE "${CMAKE_MATCH_2}")
string(REGEX MATCH "\n -- ([^\n]+>)  " _ "${changelog}")
set(CPACK_PACKAGE_CONTACT "${CMAKE_MATCH_1}" CACHE STRING "The packages' maintainer: name <address>")
if(NOT packaged_version STREQUAL PROJECT_VERSION)
  message(FATAL_ERROR "cmake/debian/changelog is of ${packaged_version}, include/sio/base.h of ${PROJECT_VERSION}")
endif()

# Not of a plain installation.
foreach(component library development tools)
  set(package "${SIO_PACKAGE_${component}}")
  set(doc "${CMAKE_INSTALL_DATADIR}/doc/${package}")
  install(FILES "${debian}/copyright" DESTINATION "${doc}" COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES "${debian}/changelog" DESTINATION "${doc}" RENAME changelog.Debian COMPONENT ${component} EXCLUDE_FROM_ALL)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libsio)
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/packages")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS # whatever the umask is
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS "${PROJECT_SOURCE_DIR}/cmake/packages_staged.cmake")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL library development tools)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SOURCE libsio)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(what "libsio sends messages, streams and datagrams over RDMA (InfiniBand, RoCE,
soft-RoCE) with the calls of BSD sockets, from and to memory areas that the
device reads and writes without a copy, and reports everything that happens
through event channels. Where there is no RDMA device it does the same over
TCP.
")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${SIO_PACKAGE_library})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "messages over RDMA through sockets
${what}
This package has the shared library.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME ${SIO_PACKAGE_development})
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "${SIO_PACKAGE_library} (= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")
# Programs that link the static library need these; others do not.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS
    "libboost-program-options-dev, libibverbs-dev, librdmacm-dev, liburing-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "messages over RDMA through sockets - development files
${what}
This package has the headers for C and C++, the static library, what CMake
and pkg-config want, and the man pages of the calls.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME ${SIO_PACKAGE_tools})
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION net)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "messages over RDMA through sockets - tools
${what}
This package has programs: sio_info, which shows devices and settings;
sio_cat, which sends files and pipes; sio_stat, which shows what the sockets
of a running program do; and sio_perf, which measures between two hosts. And
a plugin that lets Wireshark show what libsio says over RoCE v2.")

# The source archive has the files that git knows, as they are in the working tree.
set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME "libsio-${PROJECT_VERSION}")
set(CPACK_SOURCE_INSTALLED_DIRECTORIES "")
set(CPACK_INSTALL_SCRIPTS "${PROJECT_SOURCE_DIR}/cmake/packages_source.cmake")
set(CPACK_SIO_SOURCE_DIR "${PROJECT_SOURCE_DIR}")

include(CPack)
