// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <string>

namespace dmsnap::test {

/// All device-mapper devices by name, with their states, their tables, live and loaded, and the points of those that are
/// attached.
std::string device_mapper_state();

/// The same without what is drawn or counted anew each time: uuids, ids, numbers, times.
std::string lasting_state();

/// How many of libdevmapper's semaphores there are.
unsigned udev_cookies();

} // namespace dmsnap::test
