from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """There may be millions of rows: runs that end go on writing theirs while the index is built."""

    atomic = False

    dependencies = [
        ('pipelines', '0016_what_a_look_saw'),
    ]

    operations = [
        # Of a build that was broken off an index is left that nobody uses.
        migrations.RunSQL(
            sql='DROP INDEX CONCURRENTLY IF EXISTS ingestion_arrived',
            reverse_sql=migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            model_name='ingestion',
            index=models.Index(condition=models.Q(('state', 'succeeded'), models.Q(('fetched__gt', models.F('skipped')), ('loads__contains', [{'status': 'already_done'}]), _connector='OR')), fields=['source', 'stream', '-id'], name='ingestion_arrived'),
        ),
    ]
