"""New ids are made in bulk as uuid4 makes one."""

from uuid import RFC_4122, UUID, SafeUUID

from homethrive_db.value_types import new_ids


def test_new_ids_are_uuids_of_version_4():
    ids = new_ids(1_000)
    assert {(one.version, one.variant, one.is_safe) for one in ids} == {
        (4, RFC_4122, SafeUUID.unknown)
    }
    assert [UUID(str(one)) for one in ids] == ids
    assert len(set(ids)) == 1_000
    assert new_ids(0) == []


def test_every_other_bit_of_a_new_id_is_random():
    ones = zeros = 0
    for one in new_ids(1_000):
        ones |= one.int
        zeros |= ~one.int
    fixed = UUID("00000000-0000-f000-c000-000000000000").int
    assert ones & zeros == (2**128 - 1) & ~fixed
