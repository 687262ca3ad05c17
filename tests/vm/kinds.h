// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Live devices of every kind there is, on the origin disk unless told, attached by their table or by the hook.
#pragma once

#include "base/units.h"
#include "origin.h"

#include <memory>
#include <string>

namespace dmsnap::test {

/// The live device that a test was asked to work on: what follows the "@" in its name is a row of the table in
/// kinds.cc. Of this size, or a little larger.
std::unique_ptr<Origin> origin_under_test(Bytes size);

// To be attached by their tables.

/// A thin LV.
std::unique_ptr<Origin> thin_origin(Bytes size);
/// An LV mirrored by md, in sync.
std::unique_ptr<Origin> raid1_origin(Bytes size);
/// An LV with a snapshot of LVM's, "test/snap".
std::unique_ptr<Origin> lvm_snapshot_origin(Bytes size);
/// LUKS2, with the key in the table or in the kernel's keyring.
enum class Key { in_table, in_keyring };
std::unique_ptr<Origin> crypt_origin(Bytes size, Key key);
/// A multipath device of one path.
std::unique_ptr<Origin> multipath_origin(Bytes size);

} // namespace dmsnap::test
