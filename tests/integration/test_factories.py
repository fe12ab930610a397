"""The factories that other packages' tests use, too."""

from homethrive_db.testing.factories import Factory


def test_what_a_factory_did_not_make_may_have_more(homethrive_repositories, homethrive_factory):
    medication = homethrive_factory.medication(homethrive_factory.care_recipient())
    creator = homethrive_factory.user_of(medication.id)
    (recipient,) = homethrive_repositories.care_recipients.list_for_caregiver(creator)
    other = Factory(homethrive_repositories, seed=1)
    assert other.user_of(other.medication(recipient).id) == creator
    dose = other.dose_taken(other.schedule(medication))
    assert dose.taken_by_user_id == creator
