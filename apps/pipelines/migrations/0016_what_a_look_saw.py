from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0015_freshness_of_streams'),
    ]

    operations = [
        migrations.AddField(
            model_name='fire',
            name='saw',
            field=models.CharField(blank=True, db_default='', max_length=64),
        ),
    ]
